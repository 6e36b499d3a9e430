"""What the page of a run says first: how it ended, its figures, and what was read in a few rows as training went on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import msgspec

from preflight_ocr.harness.config.packages import find_absent
from preflight_ocr.harness.facts.history import RunHistory
from preflight_ocr.harness.facts.run import ReadText, RunRecord, SampleReading, find_rates
from preflight_ocr.harness.training.scores import Interval, Piece, compare_edits, score_row
from preflight_ocr.reports.page.pictures import embed
from preflight_ocr.reports.page.text import spell_seconds

MOST_READINGS = 10
"""Readings of one row on the page: the first, the last, and others evenly between."""

_LONGEST = 1500  # characters of a text on the page


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of the run. `note` says of what it is, or why there is none; `is_missing` where nothing was measured."""

    name: str
    value: str
    note: str = ""
    is_missing: bool = False


class ReadView(msgspec.Struct, frozen=True, kw_only=True):
    """What was read in one row after `step` steps. `pieces` hold it against the true text; none where nothing compares."""

    step: int
    cer: float
    text: str
    more: int
    pieces: tuple[Piece, ...]


class SampleView(msgspec.Struct, frozen=True, kw_only=True):
    """One row over time. `picture` is a data URI, None where there is none to be shown."""

    number: int
    image: str | None
    picture: str | None
    true: str
    more: int
    readings: tuple[ReadView, ...]


class RunView(msgspec.Struct, frozen=True, kw_only=True):
    """Everything of a run but its curves. `tone` as of the page: clear, refused, major, partial or plain."""

    record: RunRecord
    headline: str
    tone: str
    remarks: tuple[str, ...]
    figures: tuple[Figure, ...]
    samples: tuple[SampleView, ...]
    readings: int
    rows: int
    duration: str


def view_run(run: RunHistory) -> RunView | None:
    """What there is to be said of a run; None where it left no record."""
    record = run.record
    if record is None:
        return None
    before, after = find_rates(record, run.readings)
    last = after or (run.readings[-1] if run.readings else None)
    alike = [one for one in run.readings if last is not None and one.sample == last.sample]
    return RunView(
        record=record,
        headline=_head(record, run, before, after),
        tone=_choose_tone(record, before, after),
        remarks=tuple(_list_remarks(before, after)),
        figures=tuple(_list_figures(record, run, before, after)),
        samples=tuple(_show_samples(alike)),
        readings=len(alike),
        rows=last.rows if last is not None else 0,
        duration=spell_seconds(record.seconds),
    )


def _head(record: RunRecord, run: RunHistory, before: SampleReading | None, after: SampleReading | None) -> str:
    steps = record.steps or max((entry.step for entry in run.entries), default=0)
    of = f"{steps:,} of {record.planned:,} steps" if record.planned else f"{steps:,} steps"
    if record.ending == "stopped":
        return f"Stopped after {of}"
    if record.ending == "failed":
        return f"Failed after {of}"
    if record.ending == "open":
        return f"No end on record: the run goes on, or was ended by force, after {of}"
    told = f"Ended early after {of}" if record.ending == "early" else f"Trained {steps:,} steps"
    if after is not None and before is not None:
        return f"{told}: CER {before.cer:.3f} before, {after.cer:.3f} after"
    if after is not None:
        return f"{told}: CER {after.cer:.3f} after"
    return told


def tell_change(before: SampleReading, after: SampleReading) -> tuple[Interval, str]:
    """By how much the CER changed, with its 95 % interval, and that in words."""
    change = compare_edits(before.edits, after.edits, before.characters)
    span = f"change {change.value:+.3f} ({change.low:+.3f} to {change.high:+.3f})"
    return change, f"not told apart by these rows: {span}" if change.low <= 0 <= change.high else span


def _choose_tone(record: RunRecord, before: SampleReading | None, after: SampleReading | None) -> str:
    if record.ending == "failed":
        return "refused"
    if record.ending in ("stopped", "open"):
        return "partial"
    if before is None or after is None:
        return "plain"
    change, _ = tell_change(before, after)
    if after.constant is not None or change.low > 0:
        return "major"
    return "clear" if change.high < 0 else "plain"


def _list_remarks(before: SampleReading | None, after: SampleReading | None) -> Iterator[str]:
    """What the figures alone do not say."""
    if before is not None and after is not None:
        yield f"CER, {tell_change(before, after)[1]}."
    if after is not None and after.constant is not None:
        text, times = after.constant
        yield (
            f"{times} of {after.rows} rows were read as the same wrong text, {text[:80]!r}: what is on the pages changes "
            f"nothing."
        )


def _list_figures(
    record: RunRecord, run: RunHistory, before: SampleReading | None, after: SampleReading | None
) -> Iterator[Figure]:
    steps = record.steps or max((entry.step for entry in run.entries), default=0)
    planned = f"of {record.planned:,} that were asked for" if record.planned else ""
    yield Figure(name="Steps", value=f"{steps:,}", note=planned)
    yield _tell_before(record, run, before)
    yield _tell_after(record, run, after)
    if record.test_cer is not None:
        yield Figure(
            name="CER on test rows", value=f"{record.test_cer:.3f}", note=_count_rows(record.test_rows, "test_path")
        )
    known = [value for _, value in run.series("loss")]
    first, last = (known[0], known[-1]) if known else (record.first_loss, record.last_loss)
    if known or first is not None:
        note = f"{_spell(first)} at the first logged step"
        yield Figure(name="Loss", value=_spell(last), note=note, is_missing=last is None)
    else:
        yield Figure(name="Loss", value="not logged", note="no step was logged", is_missing=True)
    if record.eval_loss is not None:
        yield Figure(name="Loss on held-out rows", value=_spell(record.eval_loss), note="at the last evaluation")
    yield Figure(name="Took", value=spell_seconds(record.seconds), note=_tell_times(record))


def _tell_before(record: RunRecord, run: RunHistory, before: SampleReading | None) -> Figure:
    name = "CER before training"
    if before is not None:
        return Figure(name=name, value=f"{before.cer:.3f}", note=_count_rows(before.rows, "val_path"))
    if record.unread:
        why = record.unread
    elif record.resumed_from is not None:
        why = "the run was continued, and these rows were not read before its first step"
    else:
        why = "the run ended before its rows were read"
    return Figure(name=name, value="not measured", note=why, is_missing=True)


def _tell_after(record: RunRecord, run: RunHistory, after: SampleReading | None) -> Figure:
    name = "CER after training"
    if after is not None:
        at = f", with the weights of step {after.step:,}" if after.step != record.steps else ""
        return Figure(name=name, value=f"{after.cer:.3f}", note=f"{_count_rows(after.rows, 'val_path')}{at}")
    last = run.readings[-1] if run.readings else None
    if last is not None and last.step > 0:
        why = f"the run did not end; it was {last.cer:.3f} at the last reading, after step {last.step:,}"
    else:
        why = record.unread or "the run did not end"
    return Figure(name=name, value="not measured", note=why, is_missing=True)


def _count_rows(rows: int, key: str) -> str:
    return f"on {rows:,} {'row' if rows == 1 else 'rows'} of data.{key}"


def _tell_times(record: RunRecord) -> str:
    began = f"from {record.began:%Y-%m-%d %H:%M} UTC"
    return began if record.ended is not None else f"{began}; no end is on record"


def _spell(value: float | None) -> str:
    return "not finite" if value is None or not math.isfinite(value) else f"{value:.3f}"


def _show_samples(readings: Sequence[SampleReading]) -> Iterator[SampleView]:
    """Each row that was kept, with its texts in the order of the steps; a step that was read twice is shown once."""
    by_step = {one.step: one for one in readings}
    chosen = [by_step[step] for step in _thin(sorted(by_step))]
    compares = not find_absent(("jiwer",))
    numbers = dict.fromkeys(text.number for one in chosen for text in one.texts)
    for number in numbers:
        seen = [(one.step, text) for one in chosen for text in one.texts if text.number == number]
        text = seen[-1][1]
        yield SampleView(
            number=number,
            image=text.image,
            picture=embed(text.image) if text.image else None,
            true=text.true[:_LONGEST],
            more=max(0, len(text.true) - _LONGEST),
            readings=tuple(_show_reading(step, one, compares=compares) for step, one in seen),
        )


def _show_reading(step: int, text: ReadText, *, compares: bool) -> ReadView:
    true, read = text.true[:_LONGEST], text.read[:_LONGEST]
    return ReadView(
        step=step,
        cer=text.cer,
        text=read,
        more=max(0, len(text.read) - _LONGEST),
        pieces=score_row(true, read).pieces if compares else (),
    )


def _thin(steps: Sequence[int]) -> list[int]:
    if len(steps) <= MOST_READINGS:
        return list(steps)
    last = len(steps) - 1
    return [steps[round(at * last / (MOST_READINGS - 1))] for at in range(MOST_READINGS)]
