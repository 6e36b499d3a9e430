"""In the child: open the project as a training run does, and measure each batch size at each page size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import torch

from preflight_ocr.harness import atomic
from preflight_ocr.harness.commands.bench.figures import Point
from preflight_ocr.harness.commands.bench.measure import (
    BenchError,
    Measured,
    TrainingStep,
    count_tokens,
    measure_collations,
    measure_steps,
    weigh,
)
from preflight_ocr.harness.config import compat
from preflight_ocr.harness.config.config import load_config
from preflight_ocr.harness.config.schema import Config
from preflight_ocr.harness.facts import Raised, Unknown
from preflight_ocr.harness.training.model import find_directory
from preflight_ocr.harness.training.train import Parts, build_trainer, load_parts
from preflight_ocr.probes.accelerator.card import Card, open_card
from preflight_ocr.probes.accelerator.precision import read_recipe
from preflight_ocr.probes.workbench.assembly import choose_sample, keep_modules_in, read_rows, restore_form
from preflight_ocr.probes.workbench.model import build_small
from preflight_ocr.probes.workbench.tracing import attempt

POINTS = "points.json"
_QUIET = {
    "report_to": "none", "save_strategy": "no", "eval_strategy": "no", "logging_strategy": "no", "disable_tqdm": True,
    "gradient_accumulation_steps": 1, "load_best_model_at_end": False,
}  # fmt: skip


def observe(
    config_path: str,
    trust: bool,
    folder: str,
    device: str,
    batches: list[int],
    image_sizes: list[int | None],
    repeats: int,
) -> dict[str, Any]:
    """What was measured, as builtins. Each point is also written to POINTS in `folder` as soon as it is known."""
    place, card = Path(folder), open_card(device)
    if (refused := card.describe().refused) is not None:
        raise BenchError(f"torch cannot use the card: {refused.message}")
    keep_modules_in(place / "modules")
    config, notes = fit(load_config(Path(config_path), trust=trust), device, place)
    with card.reach():
        torch.manual_seed(config.training.seed)
        parts, weights = open_project(config)
        trainer, _ = build_trainer(config, parts)
        step = TrainingStep(trainer, card)
        points = []
        for point in measure_all(config, parts, step, card, place, batches, image_sizes, repeats):
            points.append(point)
            atomic.write_bytes(place / POINTS, msgspec.json.encode(points))
    described = card.describe()
    return {
        "name": described.name,
        "capability": described.capability,
        "memory_bytes": card.read_total() or 0,
        "cuda": torch.version.cuda or "",
        "model": type(getattr(parts.model, "get_base_model", lambda: parts.model)()).__name__,
        "precision": read_recipe(config, parts.model).name,
        "weights": weights,
        "points": msgspec.to_builtins(points),
        "notes": [*notes, *([RANDOM] if weights == "random" else [])],
    }


RANDOM = "the directory holds no weights: speed and memory are those of random ones of the same shapes"


def fit(config: Config, device: str, folder: Path) -> tuple[Config, list[str]]:
    """The configuration of one measured step: nothing is logged, saved or evaluated, and one micro-batch is a step."""
    notes = []
    changed: dict[str, Any] = {**_QUIET, "output_dir": str(folder / "out")}
    if device == "cpu":
        changed["use_cpu"] = True
        if config.training.fp16:
            changed["fp16"] = False
            notes.append("fp16 needs an accelerator: measured without it")
    if config.training.gradient_accumulation_steps > 1:
        notes.append("one micro-batch and a step of the optimizer; the run accumulates several of them")
    given = {k: v for k, v in config.training.arguments.items() if compat.modern_name(k) not in changed}
    fields = {name: value for name, value in changed.items() if name in config.training.__struct_fields__}
    training = msgspec.structs.replace(
        config.training, **{**fields, "output_dir": folder / "out", "arguments": {**given, **changed}}
    )
    model = msgspec.structs.replace(config.model, device_map=None)
    if config.data.cache_dir is not None:
        notes.append("images/s without data.cache_dir, as in a first epoch")
    data = msgspec.structs.replace(config.data, val_path=None, test_path=None, cache_dir=None)
    return msgspec.structs.replace(config, training=training, model=model, data=data, early_stopping=None), notes


def open_project(config: Config) -> tuple[Parts, str]:
    """The parts of a training run, and whether the weights are "real"; random ones where the directory holds none."""
    directory = find_directory(config)
    has_weights = any(file.suffix in (".safetensors", ".bin") for file in directory.iterdir())
    if config.subject.model is not None or has_weights or config.model.directory is None:
        return load_parts(config), "real"
    return load_parts(config, bare=build_small(config, whole=True).model), "random"


def measure_all(
    config: Config,
    parts: Parts,
    step: TrainingStep,
    card: Card,
    folder: Path,
    batches: Sequence[int],
    image_sizes: Sequence[int | None],
    repeats: int,
) -> Iterator[Point]:
    """One point for each pair; of the batch sizes after one that was too large, only the reason."""
    sample = choose_sample(read_rows(config.data.train_path, folder / "pages"))
    for size in image_sizes:
        given = sample if size is None else resize(sample, size, folder / f"pages-{size}")
        rows = order_by_weight(parts.collator, [*map(restore_form, given)] if config.subject.collator else given)
        over: Unknown | None = None
        for batch in sorted(set(batches)):
            if over is not None:
                yield _describe_unmeasured(batch, size, over, over)
                continue
            point = measure_point(parts.collator, step, card, rows, batch, size, repeats)
            if isinstance(point.ended, Raised):
                over = Unknown(reason=f"batch {batch} ended with {point.ended.type}")
            yield msgspec.structs.replace(point, left_out=len(given) - len(rows))


def measure_point(
    collate: Any,
    step: TrainingStep,
    card: Card,
    rows: Sequence[dict[str, Any]],
    batch: int,
    size: int | None,
    repeats: int,
) -> Point:
    """The collator on the rows in turn, the step on the first of them, which is the heaviest, repeated."""
    drawn = [rows[index % len(rows)] for index in range(batch)]

    def run() -> tuple[tuple[float, ...], int, Measured]:
        collations = measure_collations(collate, drawn, repeats)
        made = collate([dict(rows[0]) for _ in range(batch)])
        return collations, count_tokens(made), measure_steps(step, made, card, repeats)

    with _forgetting(step):
        ended: Any = attempt(run)
    if isinstance(ended, Raised):
        return _describe_unmeasured(batch, size, ended, Unknown(reason=f"{ended.type}: {ended.message}"))
    collations, tokens, measured = ended
    return Point(
        batch=batch,
        image_size=size,
        images=sum(bool(row.get("image_path")) for row in drawn),
        tokens=tokens,
        collations=collations,
        steps=measured.seconds,
        allocated=measured.allocated,
        reserved=measured.reserved,
        overhead=measured.overhead,
        predicted=NOT_PREDICTED,
        utilisation=measured.utilisation,
        power=measured.power,
    )


NOT_PREDICTED = Unknown(reason="not predicted yet")


def _describe_unmeasured(batch: int, size: int | None, ended: Any, why: Unknown) -> Point:
    return Point(
        batch=batch,
        image_size=size,
        ended=ended,
        allocated=why,
        reserved=why,
        overhead=why,
        predicted=NOT_PREDICTED,
        utilisation=why,
        power=why,
    )


@contextmanager
def _forgetting(step: TrainingStep) -> Iterator[None]:
    yield
    step.forget()


def order_by_weight(collate: Any, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows that can be collated, those with most tokens first, and with most bytes among those.

    Raises BenchError where there is none.
    """
    weighed = [(attempt(partial(lambda row: weigh(collate([dict(row)])), row)), row) for row in rows]
    good = [(weight, row) for weight, row in weighed if not isinstance(weight, Raised)]
    if not good:
        raised: Any = weighed[0][0]
        raise BenchError(f"the collator raised {raised.type}: {raised.message}")
    return [row for _, row in sorted(good, key=lambda pair: pair[0], reverse=True)]


def resize(rows: Sequence[dict[str, Any]], size: int, folder: Path) -> tuple[dict[str, Any], ...]:
    """The rows with copies of their pages whose longest side is `size` pixels."""
    from preflight_ocr.harness.training.images import open_image

    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for number, row in enumerate(rows):
        page = open_image(Path(row["image_path"]))
        factor = size / max(page.size)
        sides = (max(1, round(page.width * factor)), max(1, round(page.height * factor)))
        path = folder / f"{number}.png"
        page.resize(sides).save(path)
        made.append({**row, "image_path": str(path)})
    return tuple(made)
