"""The answer as text: one table, the verdict, what would make it fit, and what is not known."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from preflight_ocr.harness.facts import MemoryChange, MemoryForecast, Peak

SHOWN = {
    "weights": "frozen weights",
    "adapter": "trained weights",
    "buffers": "buffers",
    "gradients": "gradients",
    "optimizer": "optimizer states",
    "batch": "batch",
    "activations": "kept for backward",
    "logits": "logits, their copies and gradients",
    "workspace": "in the middle of an operation",
}
"""kind of memory -> how people call it."""


def show(size: int) -> str:
    """Bytes in the unit that reads best."""
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= factor:
            return f"{size / factor:.2f} {unit}" if unit == "GiB" else f"{size / factor:.1f} {unit}"
    return f"{size} B"


def render(answer: MemoryForecast, *, width: int = 100) -> str:
    """Lines of at most `width` characters, except YAML."""
    lines = (
        [f"Memory of {answer.source}", *_wrap(f"How: {answer.method}", width), ""]
        if answer.weights
        else [f"Memory of {answer.source}"]
    )
    if answer.weights:
        lines += ["Weights", *_table([(s.part, s.dtype, f"{s.parameters:,}", show(s.bytes)) for s in answer.weights])]
        if answer.weight_bytes is not None:
            lines.append(f"  {show(answer.weight_bytes)} ({answer.weight_bytes:,} bytes)")
        lines.append("")
    if answer.trained_parameters is not None and answer.trained_bytes is not None:
        lines += [f"Trained: {answer.trained_parameters:,} parameters, {show(answer.trained_bytes)}", ""]
    if answer.step is not None:
        lines += [*_describe_step(answer, width), ""]
    if answer.peak is not None:
        lines += ["At the peak, in " + answer.peak.phase, *_table(list(_list_peak(answer.peak))), ""]
    lines += list(_give_verdict(answer, width))
    for title, notes in (("Not known", answer.unknown), ("Taken for granted", answer.assumptions)):
        if notes:
            lines += ["", f"{title}:"]
            for note in notes:
                lines += _wrap(f"- {note}", width, indent="  ")
    return "\n".join(lines).replace("\n\n\n", "\n\n")


def _describe_step(answer: MemoryForecast, width: int) -> Iterator[str]:
    step = answer.step
    assert step is not None
    checkpointing = "gradient checkpointing" if step.checkpointing else "no checkpointing"
    text = (
        f"Step: batch size {step.batch_size} x {step.accumulation}, {step.precision}, {checkpointing}, {step.optim}, "
        f"attention {step.attention}; the worst row has {step.longest_row} tokens ({step.worst_row}; "
        f"{step.looked_at} of {step.rows} rows were prepared to find it)"
    )
    yield from _wrap(text, width)


def _list_peak(peak: Peak) -> Iterator[tuple[str, str]]:
    for kind, size in sorted(peak.parts.items(), key=lambda item: -item[1]):
        yield SHOWN.get(kind, kind), show(size)
    yield "all tensors", show(peak.requested)
    yield "in the allocator's blocks (max_memory_allocated)", show(peak.allocated + peak.libraries)
    yield "in its segments, where there is room (max_memory_reserved)", show(peak.reserved + peak.libraries)
    yield "in its segments, the fewest", show(peak.segments + peak.libraries)
    yield "CUDA's own context (274 to 636 MiB, by card and driver)", show(peak.context)
    yield "needed", show(peak.needed)


def _give_verdict(answer: MemoryForecast, width: int) -> Iterator[str]:
    if answer.budget is None:
        if answer.needed is not None:
            yield f"It needs a card of {show(answer.needed)}. Set budget.vram_gb to hold it against yours."
        return
    budget = f"the budget of {show(answer.budget)}"
    if answer.fits is None:
        yield f"Whether it fits into {budget} is not known."
    elif answer.fits:
        yield f"It fits into {budget}."
    elif answer.needed is None:
        yield f"It does not fit into {budget}: the weights alone are over it."
    else:
        yield f"It does not fit into {budget}: {show(answer.needed - answer.budget)} too much."
        yield from _give_advice(answer, width)


def _give_advice(answer: MemoryForecast, width: int) -> Iterator[str]:
    if not answer.changes:
        yield "Nothing that could be changed makes it smaller: take a larger card."
        return
    yield ""
    yield "What would make it smaller, what costs least first:"
    yield from _table([(c.words, show(c.needed), "fits" if c.fits else "", c.cost) for c in answer.changes], width)
    chosen: MemoryChange | None = next((c for c in answer.changes if c.fits), answer.together)
    if chosen is None:
        yield "Not even all of them together make it fit: take a larger card."
        return
    yield ""
    yield from _wrap(f"Use {chosen.words}: {show(chosen.needed)}.", width)
    yield textwrap.indent(chosen.yaml, "  ")


def _table(rows: Sequence[tuple[str, ...]], width: int = 200) -> list[str]:
    """Columns as wide as their longest cell; figures to the right."""
    if not rows:
        return []
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(wide) if cell[:1].isdigit() else cell.ljust(wide) for cell, wide in zip(row, widths, strict=True)
        ]
        lines.append(("  " + "  ".join(cells)).rstrip()[:width])
    return lines


def _wrap(text: str, width: int, indent: str = "") -> list[str]:
    return textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=indent + "  ", break_on_hyphens=False)
