"""The parent's side of `preflight bench`: ask for trust, start the child, put prediction and machine beside its figures."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import msgspec

from preflight_ocr.harness.check.trust import find_refusal
from preflight_ocr.harness.commands.bench.figures import Benchmark, Machine, Point
from preflight_ocr.harness.commands.bench.prediction import predict_peak
from preflight_ocr.harness.config.errors import UserError
from preflight_ocr.harness.config.schema import Config
from preflight_ocr.harness.facts import InstalledCard, Unknown
from preflight_ocr.harness.isolation.scratch import own_folder

PACKAGES = ("torch", "transformers", "peft", "accelerate", "bitsandbytes", "flash-attn")
SECONDS = 1800.0


class BenchRefused(UserError):
    """The configuration cannot be measured here."""


def bench(
    config: Config,
    *,
    batches: Sequence[int] = (1, 2, 4),
    image_sizes: Sequence[int | None] = (None,),
    device: Literal["cpu", "cuda"] | None = None,
    repeats: int = 10,
    trust: bool = False,
    seconds: float | None = None,
    progress: Callable[[str], None] = lambda message: None,
) -> Benchmark:
    """Measure in a child and return everything. Without `device` the card where there is one, else the CPU.

    A child that ends early costs only the points that it had not reached. Raises BenchRefused where nothing was measured.
    """
    from preflight_ocr.harness.check.accelerator import open_card_sandbox
    from preflight_ocr.harness.check.sandboxes import count_together, limit
    from preflight_ocr.harness.isolation import ChildRaised, Died

    if reason := find_refusal(config, trust=trust):
        raise BenchRefused(reason)
    from preflight_ocr.harness.commands.bench.observe import POINTS  # brings in torch

    cards = find_cards()
    chosen = device or ("cuda" if cards else "cpu")
    if chosen == "cuda" and not cards:
        raise BenchRefused("no accelerator on this machine; type --device cpu to measure the processor")
    allowed = limit(SECONDS if seconds is None else seconds)
    alone = msgspec.structs.replace(allowed, memory_bytes=allowed.memory_bytes * count_together())
    progress(f"measuring {len(batches) * len(image_sizes)} points on the {'card' if chosen == 'cuda' else 'processor'}")
    with own_folder() as folder:
        arguments = {
            "config_path": str(config.source), "trust": trust, "folder": str(folder), "device": chosen,
            "batches": list(batches), "image_sizes": list(image_sizes), "repeats": repeats,
        }  # fmt: skip
        with open_card_sandbox(alone, device=chosen) as sandbox:
            ended = sandbox.run("preflight_ocr.harness.commands.bench.observe:observe", arguments)
        if isinstance(ended, ChildRaised | Died):
            ending = ended.reason if isinstance(ended, Died) else f"{ended.type.rpartition('.')[2]}: {ended.message}"
            points = _read_points(folder / POINTS)
            if not points:
                raise BenchRefused(f"{config.source}: nothing could be measured: {ending}")
            value: dict[str, Any] = {"notes": [f"the child ended before its end: {ending}"]}
        else:
            value = ended.value
            points = msgspec.convert(value["points"], tuple[Point, ...])
    progress("predicting")
    return Benchmark(
        config=str(config.source),
        machine=describe_machine(chosen, cards, value),
        model=value.get("model", ""),
        precision=value.get("precision", ""),
        weights=value.get("weights", "real"),
        checkpointing=config.training.gradient_checkpointing,
        repeats=repeats,
        budget_bytes=None if config.budget.vram_gb is None else int(config.budget.vram_gb * (1 << 30)),
        points=predict_all(config, points, trust=trust),
        notes=tuple(value["notes"]),
    )


def _read_points(path: Path) -> tuple[Point, ...]:
    return msgspec.json.decode(path.read_bytes(), type=tuple[Point, ...]) if path.is_file() else ()


def predict_all(config: Config, points: Sequence[Point], *, trust: bool) -> tuple[Point, ...]:
    """The points with what `preflight memory` expects of each, where a measure stands beside it."""
    from preflight_ocr.harness.check.sandboxes import open_sandbox

    if not any(point.needed for point in points):
        why = Unknown(reason="nothing was measured to hold it against; type `preflight memory`")
        return tuple(msgspec.structs.replace(point, predicted=why) for point in points)
    resized = Unknown(reason="predicted for the pages as they are only")
    with open_sandbox(("preflight_ocr.probes.rehearsal.forecast",)) as sandbox:
        return tuple(
            msgspec.structs.replace(
                point,
                predicted=predict_peak(config, point.batch, trust=trust, sandbox=sandbox)
                if point.image_size is None
                else resized,
            )
            for point in points
        )


def find_cards() -> tuple[InstalledCard, ...]:
    """The cards that the driver lists, none where it cannot be asked or where they are hidden from us."""
    import os

    from preflight_ocr.harness.check.accelerator import VISIBLE, choose_card
    from preflight_ocr.probes.reading.environment import look_at_environment

    if choose_card(os.environ.get(VISIBLE)) is None:
        return ()
    cards = look_at_environment().cards
    return () if isinstance(cards, Unknown) else cards


def describe_machine(device: str, cards: Sequence[InstalledCard], value: dict[str, Any]) -> Machine:
    """What the figures belong to; the card's name as the driver lists it where the child ended before it could say."""
    listed = cards[0].name if device == "cuda" and cards else ""
    return Machine(
        device=device,
        name=str(value.get("name") or listed or platform.processor() or platform.machine()),
        capability=value.get("capability", ""),
        memory_bytes=value.get("memory_bytes", 0),
        driver=read_driver() if device == "cuda" else "",
        cuda=value.get("cuda", ""),
        python=platform.python_version(),
        platform=sys.platform,
        packages={package: installed for package in PACKAGES if (installed := _read_version(package))},
    )


def read_driver() -> str:
    """The NVIDIA driver's version, empty where it does not answer."""
    try:
        import pynvml
    except ImportError:
        return ""
    try:
        pynvml.nvmlInit()
        said = pynvml.nvmlSystemGetDriverVersion()
        pynvml.nvmlShutdown()
    except pynvml.NVMLError:
        return ""
    return said.decode() if isinstance(said, bytes) else str(said)


def _read_version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
