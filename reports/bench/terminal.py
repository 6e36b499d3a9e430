"""The benchmark as a table. What was not measured says why, and is never a zero."""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.commands.bench.figures import Benchmark, Point
from preflight_ocr.harness.facts import Raised, Unknown

_COLUMNS = (
    "batch", "page", "images/s", "step", "tokens/s", "allocated", "predicted", "error", "reserved", "on the card", "busy",
    "power",
)  # fmt: skip
_GIB = 1 << 30


def render(benchmark: Benchmark) -> str:
    """Heading, table, the reasons behind every dash, and the highest batch that fits."""
    return "\n".join([*_head(benchmark), "", *_table(benchmark.points), "", *_tail(benchmark)])


def _head(benchmark: Benchmark) -> Iterator[str]:
    machine = benchmark.machine
    card = f", {machine.memory_bytes / _GIB:.0f} GiB" if machine.memory_bytes else ""
    driver = f", driver {machine.driver}, CUDA {machine.cuda}" if machine.driver else ""
    yield f"{benchmark.model or benchmark.config} on {machine.name} ({machine.device}{card}{driver})"
    packages = ", ".join(f"{name} {number}" for name, number in machine.packages.items())
    checkpointing = "checkpointing" if benchmark.checkpointing else "no checkpointing"
    yield f"{benchmark.precision or 'precision not known'}, {checkpointing}; {packages}"
    yield f"median of {benchmark.repeats}; the step is on the heaviest sampled row, repeated; images/s is one process"
    for note in benchmark.notes:
        yield f"note: {note}"


def _table(points: tuple[Point, ...]) -> Iterator[str]:
    rows = [_COLUMNS, *(tuple(_cells(point)) for point in points)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    for row in rows:
        yield "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _cells(point: Point) -> Iterator[str]:
    yield str(point.batch)
    yield f"{point.image_size} px" if point.image_size else "as is"
    yield _show(point.images_per_second, "{:.1f}")
    yield "-" if point.step_seconds is None else _show_seconds(point.step_seconds)
    yield _show(point.tokens_per_second, "{:,.0f}")
    yield _show_bytes(point.allocated)
    yield _show_bytes(point.predicted)
    yield _show(point.error, "{:+.1%}")
    yield _show_bytes(point.reserved)
    yield _show_bytes(point.needed)
    yield "-" if isinstance(point.utilisation, Unknown) else f"{point.utilisation:.0f} %"
    yield "-" if isinstance(point.power, Unknown) else f"{point.power:.0f} W"


def _tail(benchmark: Benchmark) -> Iterator[str]:
    reasons: dict[str, list[str]] = {}
    for point in benchmark.points:
        for said, value in _list_unknown(point):
            reasons.setdefault(value, [])
            if said not in reasons[value]:
                reasons[value].append(said)
    for reason, names in reasons.items():
        yield f"- {', '.join(names)}: {reason}"
    for size in dict.fromkeys(point.image_size for point in benchmark.points):
        where = f" at {size} px" if size else ""
        if left := max(point.left_out for point in benchmark.points if point.image_size == size):
            yield f"- {left} sampled {'row' if left == 1 else 'rows'}{where}: left out, the collator refuses them"
        highest = benchmark.find_highest(size)
        if isinstance(highest, Unknown):
            yield f"Highest batch that fits{where}: not known ({highest.reason})"
        else:
            tried = max(p.batch for p in benchmark.points if p.image_size == size)
            budget = f"the budget of {_show_bytes(benchmark.budget_bytes or 0)}"
            more = ", the largest that was tried" if highest == tried else ""
            yield f"Highest batch that fits {budget}{where}: {highest or 'none'}{more}"


def _list_unknown(point: Point) -> Iterator[tuple[str, str]]:
    if isinstance(point.ended, Raised):
        yield f"batch {point.batch}", f"{point.ended.type}: {point.ended.message[:300]}"
        return
    if isinstance(point.ended, Unknown):
        yield f"batch {point.batch}", f"not tried, {point.ended.reason}"
        return
    named = {
        "memory": point.reserved, "predicted": point.predicted, "busy": point.utilisation, "power": point.power,
    }  # fmt: skip
    for name, value in named.items():
        if isinstance(value, Unknown):
            yield name, value.reason


def _show(value: float | None, text: str) -> str:
    return "-" if value is None else text.format(value)


def _show_seconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _show_bytes(size: int | Unknown | None) -> str:
    return "-" if size is None or isinstance(size, Unknown) else f"{size / _GIB:.2f} GiB"
