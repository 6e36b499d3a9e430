"""Measuring in this process, on the smallest model that needs no code of its own."""

from __future__ import annotations

import msgspec
import pytest
import torch
from PIL import Image

from preflight_ocr.fixtures.corpus.models import find_model_obstacle
from preflight_ocr.fixtures.corpus.plant import write_project
from preflight_ocr.harness.commands.bench.measure import BenchError, TrainingStep
from preflight_ocr.harness.commands.bench.observe import fit, measure_all, open_project, order_by_weight, resize
from preflight_ocr.harness.config.config import load_config
from preflight_ocr.harness.facts import Raised, Unknown
from preflight_ocr.harness.training.train import build_trainer
from preflight_ocr.probes.accelerator import CpuCard, CudaCard
from preflight_ocr.probes.workbench.assembly import choose_sample, read_rows


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def card(request):
    return CudaCard() if request.param == "cuda" else CpuCard()


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    if reason := find_model_obstacle("qwen2_vl"):
        pytest.skip(reason)
    return load_config(write_project(tmp_path_factory.mktemp("bench"), [], model="qwen2_vl"))


@pytest.fixture
def opened(written, card, tmp_path):
    config, _ = fit(written, card.device.type, tmp_path)
    parts, weights = open_project(config)
    assert weights == "real"
    return config, parts, TrainingStep(build_trainer(config, parts)[0], card)


def test_a_step_is_trainers_own_and_learns(opened, card):
    config, parts, step = opened
    batch = parts.collator([dict(row) for row in choose_sample(read_rows(config.data.train_path))])
    losses = [float(step(batch)) for _ in range(6)]
    assert losses[-1] < losses[0]
    assert {p.device.type for p in parts.model.parameters()} == {card.device.type}
    assert all(p.grad is None for p in parts.model.parameters())


@pytest.mark.slow
def test_every_pair_is_a_point_and_larger_pages_are_more_tokens(opened, card, tmp_path):
    config, parts, step = opened
    points = list(measure_all(config, parts, step, card, tmp_path, [2, 1], [112, 448], 2))
    assert [(p.batch, p.image_size) for p in points] == [(1, 112), (2, 112), (1, 448), (2, 448)]
    assert points[2].tokens > points[0].tokens and points[1].tokens == 2 * points[0].tokens
    assert all(len(p.steps) == len(p.collations) == 2 and p.images == p.batch for p in points)
    if card.device.type == "cuda":
        assert 0 < points[0].allocated <= points[0].reserved and points[0].overhead > 0
        assert points[3].allocated > points[0].allocated
    else:
        assert points[0].reserved == Unknown(reason="not measured: no accelerator")


def test_a_row_that_the_collator_refuses_is_left_out_and_counted(opened, card, tmp_path, monkeypatch):
    config, parts, step = opened
    first = choose_sample(read_rows(config.data.train_path))[0]["image_path"]
    inner = parts.collator

    def refuse(rows):
        if any(row["image_path"] == first for row in rows):
            raise ValueError("too thin")
        return inner(rows)

    [point] = measure_all(config, msgspec.structs.replace(parts, collator=refuse), step, card, tmp_path, [2], [None], 2)
    assert point.ended == "ok" and point.left_out == 1


def test_after_a_batch_that_was_too_large_no_larger_one_is_tried(opened, card, tmp_path, monkeypatch):
    config, parts, step = opened

    def run_out(self, model, inputs, *rest):
        if len(inputs["input_ids"]) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return torch.zeros(())

    monkeypatch.setattr(type(step.trainer), "training_step", run_out)
    one, two, four = measure_all(config, parts, step, card, tmp_path, [1, 2, 4], [None], 2)
    assert one.ended == "ok" and one.steps
    assert isinstance(two.ended, Raised) and two.ended.type == "OutOfMemoryError" and not two.steps
    assert four.ended == Unknown(reason="batch 2 ended with OutOfMemoryError")


def test_the_heaviest_row_is_found_and_one_that_cannot_be_collated_is_passed_over(opened):
    config, parts, _ = opened
    rows = choose_sample(read_rows(config.data.train_path))
    longest = {**rows[0], "text": "long " * 60}
    broken = {**rows[0], "image_path": "nowhere.png"}
    ordered = order_by_weight(parts.collator, [*rows, longest, broken])
    assert ordered[0] == longest and len(ordered) == len(rows) + 1
    with pytest.raises(BenchError, match="the collator raised"):
        order_by_weight(parts.collator, [broken])


def test_pages_are_brought_to_a_size_and_keep_their_shape(written, tmp_path):
    rows = choose_sample(read_rows(written.data.train_path))
    for before, after in zip(rows, resize(rows, 300, tmp_path), strict=True):
        with Image.open(before["image_path"]) as old, Image.open(after["image_path"]) as new:
            assert max(new.size) == 300
            assert new.width / new.height == pytest.approx(old.width / old.height, rel=0.1)
        assert after["text"] == before["text"]


def test_nothing_is_logged_saved_or_evaluated_and_old_names_do_not_come_back(written, tmp_path):
    assert "evaluation_strategy" in written.training.arguments
    config, notes = fit(written, "cpu", tmp_path)
    arguments = config.training.arguments
    assert "evaluation_strategy" not in arguments and arguments["eval_strategy"] == "no"
    assert arguments["save_strategy"] == "no" and arguments["use_cpu"] is True
    assert arguments["learning_rate"] == written.training.learning_rate
    assert config.data.val_path is None and config.training.output_dir == tmp_path / "out"
    assert notes == []


def test_what_differs_from_the_run_is_noted(written, tmp_path):
    training = msgspec.structs.replace(written.training, fp16=True, gradient_accumulation_steps=8)
    config, notes = fit(msgspec.structs.replace(written, training=training), "cpu", tmp_path)
    assert not config.training.fp16 and len(notes) == 2
    assert fit(msgspec.structs.replace(written, training=training), "cuda", tmp_path)[0].training.fp16


def test_a_directory_without_weights_is_measured_whole_with_random_ones(written, tmp_path):
    import shutil

    bare = tmp_path / "bare"
    shutil.copytree(written.model.base_model, bare, ignore=shutil.ignore_patterns("*.safetensors"))
    model = msgspec.structs.replace(written.model, base_model=str(bare))
    config, _ = fit(msgspec.structs.replace(written, model=model), "cpu", tmp_path)
    parts, weights = open_project(config)
    real, _ = open_project(fit(written, "cpu", tmp_path)[0])
    assert weights == "random"
    count = [sum(p.numel() for p in each.model.parameters()) for each in (parts, real)]
    assert count[0] == count[1]
