"""An evaluation on the terminal: base and adapter side by side, then by group, then what was taken for what."""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.commands.trained.evaluate import Evaluation
from preflight_ocr.harness.foreign.text import clean_line
from preflight_ocr.harness.training.scores import Confusion, Interval, name_script

FIGURES = (
    ("CER", "cer"), ("WER", "wer"), ("median CER", "median"), ("mean CER, none above 1", "clipped"), ("exact rows", "exact"),
)  # fmt: skip
_SHOWN = 8


def show(interval: Interval) -> str:
    """`0.123 (0.101 to 0.150)`."""
    return f"{interval.value:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def name(confusion: Confusion) -> str:
    """`a read as o`, `a left out`, `o put in`; with their scripts where letters of two are taken for each other."""
    scripts = [name_script(part) for part in (confusion.true, confusion.read)]
    are_told = "none" not in scripts and scripts[0] != scripts[1]  # the Cyrillic and the Latin a look the same
    true, read = (
        f"{part!r} ({script.capitalize()})" if are_told else repr(part)
        for part, script in zip((confusion.true, confusion.read), scripts, strict=True)
    )
    if not confusion.read:
        return f"{true} left out"
    return f"{true} read as {read}" if confusion.true else f"{read} put in"


def tell(evaluation: Evaluation) -> str:
    """The result in one sentence."""
    base = evaluation.sides["base"]
    if evaluation.difference is None:
        return f"The base model reads {_count(base.rows)} with a CER of {show(base.cer)}."
    change = evaluation.difference
    said = "lower" if change.high < 0 else "higher" if change.low > 0 else "not told apart by these rows"
    after = evaluation.sides["adapter"].cer
    interval = f"{change.low:+.3f} to {change.high:+.3f}"
    return f"CER {base.cer.value:.3f} -> {after.value:.3f}, {said}: change {change.value:+.3f} ({interval})."


def tell_constants(evaluation: Evaluation) -> Iterator[str]:
    """A sentence for each side that read most rows as one text."""
    for side in evaluation.sides:
        if found := evaluation.find_constant(side):
            text, times = found
            who = "The adapter" if side == "adapter" else "The base model"
            what = f"the same wrong text, {clean_line(text, limit=40)!r}" if text.strip() else "no text"
            yield f"{who} gave {times} of {len(evaluation.rows)} pages {what}: what is on them changes nothing."


def _count(rows: int) -> str:
    return f"{rows} row" if rows == 1 else f"{rows} rows"


def render(evaluation: Evaluation) -> str:
    """Everything that fits a terminal, without a newline at its end."""
    return "\n".join(_list_lines(evaluation))


def _list_lines(evaluation: Evaluation) -> Iterator[str]:
    sides = list(evaluation.sides.items())
    rows = evaluation.sides[evaluation.last].rows
    yield f"{clean_line(evaluation.data)} ({evaluation.split}): {_count(rows)} read, 95 % intervals by bootstrap"
    steps = ", ".join(evaluation.normalise)
    yield f"Texts are compared {f'after {steps}' if steps else 'as they are'}."
    yield ""
    yield f"{'':24}" + "".join(f"{side:>28}" for side, _ in sides)
    for title, field in FIGURES:
        yield f"{title:24}" + "".join(f"{show(getattr(summary, field)):>28}" for _, summary in sides)
    for title, field in (("only repeated itself", "repeated"), ("cut at the most tokens", "cut")):
        yield f"{title:24}" + "".join(f"{getattr(summary, field):>28}" for _, summary in sides)
    kind = ""
    for group in evaluation.groups:
        if group.by != kind:
            yield from ("", f"CER by {group.by}")
            kind = group.by
        label = clean_line(f"{group.name} ({next(iter(group.sides.values())).rows})", limit=23)
        yield f"{label:24}" + "".join(f"{show(summary.cer):>28}" for summary in group.sides.values())
    worst = evaluation.confusions[evaluation.last][:_SHOWN]
    if worst:
        yield ""
        yield "Most frequent: " + ", ".join(f"{clean_line(name(one))} {one.times}x" for one in worst)
    for sentence in tell_constants(evaluation):
        yield from ("", sentence)
    if evaluation.failed:
        yield ""
        first = next(iter(evaluation.failed.values()))
        yield f"Not read, and in no figure: {_count(len(evaluation.failed))}. The first: {clean_line(first)}"
    yield ""
    yield tell(evaluation)
