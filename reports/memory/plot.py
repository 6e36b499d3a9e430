"""The prediction as a picture: one bar by part for the step as it is and for each change, with the budget across them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from preflight_ocr.harness import atomic
from preflight_ocr.harness.config.errors import UserError
from preflight_ocr.harness.config.packages import require
from preflight_ocr.harness.facts import MemoryForecast
from preflight_ocr.reports.memory.terminal import SHOWN, show

FORMATS = (".svg", ".png")
# Okabe and Ito's colours (and a dark red), which stay apart for colour-blind readers and in print.
_COLOURS = (
    "#0072B2",
    "#56B4E9",
    "#882255",
    "#009E73",
    "#F0E442",
    "#CC79A7",
    "#E69F00",
    "#D55E00",
    "#000000",
    "#BBBBBB",
)


def write(answer: MemoryForecast, path: Path) -> None:
    """SVG or PNG, by the file's suffix. Raises UserError for another one, or where there is nothing to draw."""
    if path.suffix.lower() not in FORMATS:
        raise UserError(f"--plot {path}: the suffix is {path.suffix!r}, expected .svg or .png")
    require("--plot", ("matplotlib",))
    bars = list_bars(answer)
    if not bars:
        raise UserError("--plot: nothing is known that could be drawn")
    atomic.write_bytes(path, draw(answer, bars, path.suffix.lower().removeprefix(".")))


def list_bars(answer: MemoryForecast) -> list[tuple[str, list[tuple[str, int]]]]:
    """(name of the bar, its parts with their bytes, from the bottom). The first is the step as configured; a change has one
    part. Of weights alone, one bar by part of the model."""
    if answer.peak is None:
        return [("weights", [(f"{s.part} ({s.dtype})", s.bytes) for s in answer.weights])] if answer.weights else []
    peak = answer.peak
    parts = [(SHOWN[kind], peak.parts[kind]) for kind in SHOWN if peak.parts.get(kind)]
    parts.append(("allocator's rounding", max(peak.segments - peak.requested, 0)))
    parts.append(("CUDA's own", peak.context + peak.libraries))
    changes = [*answer.changes, *([answer.together] if answer.together else [])]
    return [("as it is", parts), *((change.words, [("after the change", change.needed)]) for change in changes)]


def draw(answer: MemoryForecast, bars: list[tuple[str, list[tuple[str, int]]]], kind: str) -> bytes:
    """The picture. Text stays text in an SVG, so that it can be searched and read aloud."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "preflight"}):
        figure = Figure(figsize=(9, 1.6 + 0.45 * len(bars)), layout="constrained")
        axes: Any = figure.subplots()
        _draw_bars(axes, bars)
        if answer.budget is not None:
            axes.axvline(answer.budget / 2**30, color="black", linestyle="--", linewidth=1.2)
            axes.annotate(
                f"budget {show(answer.budget)}", (answer.budget / 2**30, 1.0), xycoords=("data", "axes fraction"),
                xytext=(3, 3), textcoords="offset points", fontsize=8,
            )  # fmt: skip
        axes.set_xlabel("GiB")
        axes.set_title(
            _escape(f"Memory of a training step: {Path(answer.source).name}"), loc="left", fontsize=10, pad=14
        )
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8, frameon=False)
        drawn = io.BytesIO()
        figure.savefig(drawn, format=kind, metadata={"Date": None} if kind == "svg" else None)
    return drawn.getvalue()


def _draw_bars(axes: Any, bars: list[tuple[str, list[tuple[str, int]]]]) -> None:
    names = list(dict.fromkeys(part for _, parts in bars for part, _ in parts))
    for row, (_, parts) in enumerate(bars):
        start = 0.0
        for part, size in parts:
            at = names.index(part)
            label = part if next(r for r, (_, p) in enumerate(bars) if part in dict(p)) == row else None
            axes.barh(
                row, size / 2**30, left=start, color=_COLOURS[at % len(_COLOURS)], edgecolor="white", linewidth=0.5,
                label=None if label is None else _escape(label),
            )  # fmt: skip
            start += size / 2**30
        axes.annotate(
            f" {show(sum(size for _, size in parts))}",
            (start, row),
            va="center",
            fontsize=8,
            zorder=5,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
        )
    axes.set_yticks(range(len(bars)), [_escape(name[:60]) for name, _ in bars], fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.spines[["top", "right"]].set_visible(False)


def _escape(text: str) -> str:
    """A dollar sign begins a formula in matplotlib."""
    return text.replace("$", r"\$")
