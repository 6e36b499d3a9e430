"""Predicted against measured: `python -m docs.measure.memory` makes real steps of the miniatures on the CPU, follows every
storage of theirs, holds that against the prediction, and writes both to `docs/measured/memory.json`.

No accelerator is involved: what is measured is every byte that tensors hold in a real step, which is what
`torch.cuda.max_memory_allocated` counts before it rounds, by the CPU's kernels. `python -m docs.generate` renders the table
of `docs/measured/memory.md` from it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from preflight_ocr.harness import atomic

MODELS = ("deepseek_ocr", "dots_ocr", "qwen2_vl", "llava", "donut", "gemma3", "got_ocr2", "deepseek_ocr2")
BATCHES = (1, 3)
PRECISIONS = ("float32", "bfloat16", "float32 under bf16 autocast")
RESULTS = Path(__file__).resolve().parents[2] / "docs" / "measured" / "memory.json"


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One step. `precision` is one of PRECISIONS; `measured` and `predicted` in bytes at the peak."""

    model: str
    batch_size: int
    precision: str
    checkpointing: bool
    measured: int
    predicted: int

    @property
    def error(self) -> float:
        """How far the prediction is off, as a part of what was measured."""
        return self.predicted / self.measured - 1


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """Every case, and the versions they were made with. `refused` are the steps that the model itself cannot make, with
    what it raises."""

    versions: dict[str, str]
    cases: tuple[Case, ...]
    refused: tuple[str, ...] = ()


def measure(model: str) -> tuple[list[Case], list[str]]:
    """All cases of one miniature. Call it in a process of its own: remote code is imported under one name."""
    import transformers
    import yaml

    from preflight_ocr.fixtures.corpus.plant import write_project
    from preflight_ocr.harness.facts import Raised
    from preflight_ocr.harness.training.redirects import redirect_cuda
    from preflight_ocr.probes.workbench.assembly import Assembly
    from preflight_ocr.probes.workbench.tracing import attempt

    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    cases: list[Case] = []
    refused: list[str] = []
    with tempfile.TemporaryDirectory(prefix="preflight-memory-") as folder:
        path = write_project(Path(folder) / "project", [], model=model)
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        for precision in PRECISIONS:
            document["model"]["torch_dtype"] = precision.partition(" ")[0]
            path.write_text(yaml.safe_dump(document), encoding="utf-8")
            parts = Assembly(path, trust=True, folder=Path(folder))
            with redirect_cuda():
                found = attempt(lambda: _measure_precision(model, precision, parts))  # noqa: B023
            if isinstance(found, Raised):
                refused.append(f"{model}, {precision}: {found.type}: {found.message}")
            else:
                cases += found
    return cases, refused


def _measure_precision(model: str, precision: str, parts: Any) -> list[Case]:
    import torch

    from preflight_ocr.harness.training.adapter import attach
    from preflight_ocr.harness.training.checkpointing import NOT_REENTRANT
    from preflight_ocr.probes.rehearsal.forecast import find_vocabulary
    from preflight_ocr.probes.rehearsal.step import Rehearsed, rehearse

    adapted = attach(parts.model, parts.config)
    vocabulary = find_vocabulary(parts.bare)
    autocast = torch.bfloat16 if "autocast" in precision else None
    cases = []
    for size in BATCHES:
        for settings in (None, NOT_REENTRANT):
            peaks = {}
            for weightless in (False, True):
                batch = parts.seeded(parts.reference, parts.sample[:size])
                step = Rehearsed(
                    optim="adamw_torch", autocast=autocast, checkpointing=settings, weightless=weightless, card=False
                )
                peaks[weightless] = rehearse(adapted, batch, step, vocabulary=vocabulary).peak
            cases.append(
                Case(
                    model=model,
                    batch_size=size,
                    precision=precision,
                    checkpointing=settings is not None,
                    measured=peaks[False],
                    predicted=peaks[True],
                )
            )
    return cases


def run(models: tuple[str, ...] = MODELS, *, jobs: int = 2) -> Run:
    """Measure every model in a process of its own."""
    from importlib.metadata import version

    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, max_tasks_per_child=1) as pool:
        found = list(pool.map(measure, models))
    versions = {name: version(name).partition("+")[0] for name in ("torch", "transformers", "peft")}
    return Run(
        versions=versions,
        cases=tuple(case for cases, _ in found for case in cases),
        refused=tuple(reason for _, reasons in found for reason in reasons),
    )


def read_results() -> Run:
    """What the last run wrote."""
    return msgspec.json.decode(RESULTS.read_bytes(), type=Run)


def render() -> str:
    """The table: one row a model, the worst of its cases."""
    found = read_results()
    worst = max(abs(case.error) for case in found.cases)
    versions = ", ".join(f"{name} {version}" for name, version in found.versions.items())
    lines = [
        f"{len(found.cases)} steps of the miniatures, largest difference {worst:.2%} ({versions}). *Measured* is every byte "
        "that tensors held at one time in a real step on the CPU, followed from operation to operation; *predicted* is the "
        "same step with tensors that have shapes and no numbers. No accelerator was available for a column measured on a "
        "card: what its kernels keep otherwise, the allocator's rounding and CUDA's own share are modelled, not measured. "
        "Made by `python -m docs.measure.memory`.",
        "",
        "| model | steps | smallest peak measured | predicted | largest peak measured | predicted | largest difference |",
        "|---|---|---|---|---|---|---|",
    ]
    for model in dict.fromkeys(case.model for case in found.cases):
        cases = sorted((c for c in found.cases if c.model == model), key=lambda c: c.measured)
        low, high = cases[0], cases[-1]
        error = max(abs(case.error) for case in cases)
        figures = f"{low.measured:,} B | {low.predicted:,} B | {high.measured:,} B | {high.predicted:,} B"
        lines.append(f"| {model} | {len(cases)} | {figures} | {error:.2%} |")
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Measure, write the file, print the block."""
    parser = argparse.ArgumentParser(prog="python -m docs.measure.memory", description=__doc__)
    parser.add_argument("--jobs", type=int, default=2, help="models at a time (default: 2)")
    given = parser.parse_args(arguments)
    text = msgspec.json.format(msgspec.json.encode(run(jobs=given.jobs)), indent=1) + b"\n"
    atomic.write_bytes(RESULTS, text)
    print(render())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
