"""The prediction as a picture: the parts of the step behind each other, their sum, what each change makes of it, and the
budget across them. One unit for all."""

from __future__ import annotations

import io
import itertools
from pathlib import Path
from typing import Any

from preflight_ocr.harness import atomic
from preflight_ocr.harness.config.errors import UserError
from preflight_ocr.harness.config.packages import require
from preflight_ocr.harness.facts import MemoryForecast
from preflight_ocr.reports.memory.terminal import SHOWN
from preflight_ocr.reports.page.bars import UNITS, choose_unit, spell_in

FORMATS = (".svg", ".png")
# Of Okabe and Ito's colours, which stay apart for colour-blind readers and in print.
_PART, _WHOLE, _CHANGE = "#56B4E9", "#0072B2", "#BBBBBB"
_SHORTEST = 60  # characters of a name

Row = tuple[str, int, int]
"""A bar: its name, the bytes at which it begins, and its bytes."""


def write(answer: MemoryForecast, path: Path) -> None:
    """SVG or PNG, by the file's suffix. Raises UserError for another one, or where there is nothing to draw."""
    if path.suffix.lower() not in FORMATS:
        raise UserError(f"--plot {path}: the suffix is {path.suffix!r}, expected .svg or .png")
    require("--plot", ("matplotlib",))
    rows = list_rows(answer)
    if not rows:
        raise UserError("--plot: nothing is known that could be drawn")
    atomic.write_bytes(path, draw(answer, rows, path.suffix.lower().removeprefix(".")))


def list_rows(answer: MemoryForecast) -> list[Row]:
    """The parts of the step as it is, each beginning where the one above ends; their sum; and the sum after each change.
    Of weights alone, the parts of the model."""
    if answer.peak is None:
        sizes = [(f"{s.part} ({s.dtype})", s.bytes) for s in answer.weights]
        return [*_lay_behind(sizes), ("weights, together", 0, sum(n for _, n in sizes))] if sizes else []
    peak = answer.peak
    sizes = [(SHOWN[kind], peak.parts[kind]) for kind in SHOWN if peak.parts.get(kind)]
    sizes.append(("allocator's rounding", max(peak.segments - peak.requested, 0)))
    sizes.append(("CUDA and its libraries", peak.context + peak.libraries))
    changes = [*answer.changes, *([answer.together] if answer.together else [])]
    whole = ("together, as it is", 0, sum(size for _, size in sizes))
    return [*_lay_behind(sizes), whole, *((f"after: {change.words}", 0, change.needed) for change in changes)]


def _lay_behind(sizes: list[tuple[str, int]]) -> list[Row]:
    starts = itertools.accumulate((size for _, size in sizes), initial=0)
    return [(name, start, size) for (name, size), start in zip(sizes, starts, strict=False) if size]


def draw(answer: MemoryForecast, rows: list[Row], kind: str) -> bytes:
    """The picture. Text stays text in an SVG, so that it can be searched and read aloud."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    unit = choose_unit(max([start + size for _, start, size in rows] + [answer.budget or 0, 1]))
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "preflight"}):
        figure = Figure(figsize=(9, 1.4 + 0.32 * len(rows)), layout="constrained")
        axes: Any = figure.subplots()
        _draw_rows(axes, rows, unit)
        if answer.budget is not None:
            at = answer.budget / UNITS[unit]
            axes.axvline(at, color="black", linestyle="--", linewidth=1.2)
            axes.annotate(
                f"budget {spell_in(answer.budget, unit)}", (at, 1.0), xycoords=("data", "axes fraction"),
                xytext=(-3, 3), textcoords="offset points", fontsize=8, ha="right",
            )  # fmt: skip
        axes.set_xlabel(f"{unit}; each part begins where the one above it ends", fontsize=8)
        axes.set_title(
            _escape(f"Memory of a training step: {Path(answer.source).name}"), loc="left", fontsize=10, pad=16
        )
        drawn = io.BytesIO()
        figure.savefig(drawn, format=kind, metadata={"Date": None} if kind == "svg" else None)
    return drawn.getvalue()


def _draw_rows(axes: Any, rows: list[Row], unit: str) -> None:
    for number, (name, start, size) in enumerate(rows):
        colour = _CHANGE if name.startswith("after: ") else _WHOLE if "together" in name else _PART
        axes.barh(number, size / UNITS[unit], left=start / UNITS[unit], height=0.7, color=colour)
        axes.annotate(
            f" {spell_in(size, unit)}", ((start + size) / UNITS[unit], number), va="center", fontsize=8, zorder=5
        )
    axes.set_yticks(range(len(rows)), [_escape(name[:_SHORTEST]) for name, _, _ in rows], fontsize=8)
    axes.tick_params(axis="x", labelsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.spines[["top", "right"]].set_visible(False)


def _escape(text: str) -> str:
    """A dollar sign begins a formula in matplotlib."""
    return text.replace("$", r"\$")
