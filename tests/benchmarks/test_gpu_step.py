"""The training step and the collator under pytest-benchmark, by the functions that `preflight bench` measures with.

On a card: `pytest -m gpu tests/benchmarks --benchmark-only`. A short round on the CPU keeps these lines running elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from preflight_ocr.fixtures.corpus.models import find_model_obstacle
from preflight_ocr.fixtures.corpus.plant import write_project
from preflight_ocr.harness.commands.bench.measure import WARM_UP, Gauge, TrainingStep, count_tokens
from preflight_ocr.harness.commands.bench.observe import fit, open_project, order_by_weight, resize
from preflight_ocr.harness.config.config import load_config
from preflight_ocr.harness.training.train import build_trainer
from preflight_ocr.probes.accelerator import Card, CpuCard, CudaCard
from preflight_ocr.probes.workbench.assembly import choose_sample, read_rows

MODEL = "qwen2_vl"


class Project:
    """One opened project on one card."""

    def __init__(self, card: Card, folder) -> None:
        config, _ = fit(load_config(write_project(folder / "project", [], model=MODEL)), card.device.type, folder)
        parts, _ = open_project(config)
        self.card, self.folder, self.collate = card, folder, parts.collator
        self.rows = choose_sample(read_rows(config.data.train_path))
        self.step = TrainingStep(build_trainer(config, parts)[0], card)
        self.rounds = 20 if card.device.type == "cuda" else 2


@pytest.fixture(scope="module", params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def project(request, tmp_path_factory) -> Iterator[Project]:
    if reason := find_model_obstacle(MODEL):
        pytest.skip(reason)
    card = CudaCard() if request.param == "cuda" else CpuCard()
    with card.reach():
        yield Project(card, tmp_path_factory.mktemp("benchmark"))


@pytest.mark.parametrize("size", [224, 448])
@pytest.mark.parametrize("batch", [1, 4])
def test_training_step(benchmark, project, batch, size):
    rows = resize(project.rows, size, project.folder / f"{size}")
    made = project.collate([dict(order_by_weight(project.collate, rows)[0]) for _ in range(batch)])
    project.card.release()
    with Gauge(project.card) as gauge:
        project.card.start_peak()
        benchmark.pedantic(project.step, args=(made,), rounds=project.rounds, warmup_rounds=WARM_UP)
    peak = project.card.read_peak()
    benchmark.extra_info.update(
        card=project.card.describe().name,
        tokens=count_tokens(made),
        allocated_bytes=None if peak is None else peak.allocated,
        reserved_bytes=None if peak is None else peak.reserved,
        utilisation=gauge.utilisation,
        power=gauge.power,
    )
    assert (peak is None) == (project.card.device.type == "cpu")


@pytest.mark.parametrize("batch", [1, 4])
def test_collator(benchmark, project, batch):
    rows = [project.rows[index % len(project.rows)] for index in range(batch)]
    made = benchmark.pedantic(
        lambda: project.collate([dict(row) for row in rows]), rounds=project.rounds, warmup_rounds=1
    )
    benchmark.extra_info.update(images=batch, tokens=count_tokens(made))
    assert count_tokens(made) > 0
