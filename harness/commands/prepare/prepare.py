"""`preflight prepare-data`: every row of SOURCE is looked at, kept or rejected, and the kept ones are divided into splits.

The folder `.prepare` in the output holds what is done so far; it goes when all is done. `summary.json` is written last:
where it is, the run is finished.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from preflight_ocr.harness import atomic
from preflight_ocr.harness.check.seen import Beat
from preflight_ocr.harness.commands.prepare import crew
from preflight_ocr.harness.commands.prepare.asked import SPLITS, Asked, Division, PrepareError
from preflight_ocr.harness.commands.prepare.journal import Head, Journal
from preflight_ocr.harness.commands.prepare.ledger import Divided, Ledger
from preflight_ocr.harness.commands.prepare.outcomes import Rejected
from preflight_ocr.harness.commands.prepare.publish import REJECTED, prove, put_in_place, write_splits
from preflight_ocr.harness.commands.prepare.reasons import CHANGES, REASONS
from preflight_ocr.harness.commands.prepare.sources import Source, count_units, digest_source, iterate_units
from preflight_ocr.harness.commands.prepare.units import Unit
from preflight_ocr.harness.commands.prepare.writable import load_writer
from preflight_ocr.harness.foreign.files import is_there
from preflight_ocr.harness.training.lock import hold

WORK = ".prepare"
SUMMARY = "summary.json"
STAGING = Path(WORK) / "pictures"
_LARGE_SET = 0.5  # of all rows in one set: worth a remark


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What `summary.json` holds. `unread`: files that could not be read to their end. seconds: of this run alone."""

    source: str
    rows: int
    train: int
    val: int
    test: int
    rejected: dict[str, int]
    changes: dict[str, int]
    columns_left_out: dict[str, int]
    kinds: dict[str, int]
    exact_duplicates: int
    exact_duplicates_with_another_text: int
    near_duplicates: int
    groups: int
    sets_kept_together: int
    largest_set: int
    unread: int
    taken: int
    seconds: float
    remarks: tuple[str, ...]
    settings: dict[str, Any]


def prepare(
    source: Source,
    output: Path,
    asked: Asked,
    division: Division,
    *,
    jobs: int,
    fresh: bool,
    progress: Callable[[str], None],
) -> Summary:
    """Prepare the rows of `source` in `output`. Raises PrepareError, and OSError where something cannot be written.

    What an ended run has done is taken over. With no `jobs`, all is done in this process.
    """
    started = time.monotonic()
    refuse_folder(source, output, fresh=fresh)
    if asked.tokenizer is not None:
        load_writer(asked.tokenizer)  # said once, before any process asks
    with hold(output, place=Path(WORK) / "lock", advice="wait for it"):
        if fresh:
            _clear(output)
        total = count_units(source)
        head = Head(asked=asked.digest(), source=digest_source(source))
        journal = Journal(output / WORK / "journal.jsonl", head)
        try:
            taken = journal.done
            _look_at_all(source, asked, journal, jobs=jobs, total=total, progress=progress)
            ledger, divided, counts = _finish(journal, output, asked, division, progress)
        finally:
            journal.close()
        summary = _summarise(source, asked, division, ledger, divided, counts, taken, time.monotonic() - started)
        put_in_place(output / WORK / "ready", output)
        atomic.write_text(output / SUMMARY, _write(summary))
    shutil.rmtree(output / WORK, ignore_errors=True)
    return summary


def refuse_folder(source: Source, output: Path, *, fresh: bool) -> None:
    """Raise PrepareError where the output holds what is not ours, or what is finished."""
    if source.path.is_dir() and output.resolve().is_relative_to(source.path.resolve()):
        raise PrepareError(f"{output}: lies in SOURCE, where it would be read the next time; name a folder outside")
    if not is_there(output):
        return
    if not output.is_dir():
        raise PrepareError(f"{output}: is a file, expected a folder")
    names = {entry.name for entry in output.iterdir()}
    if names and not names & {WORK, SUMMARY}:
        raise PrepareError(f"{output}: is not empty; name a folder that is not there yet, or empty this one")
    if strange := sorted(names - {*SPLITS, REJECTED, SUMMARY, WORK}):
        raise PrepareError(f"{output}: holds {', '.join(strange[:5])}, which no run wrote; move it away")
    if SUMMARY in names and not fresh:
        raise PrepareError(
            f"{output}: is finished; give --fresh to throw it away and begin again, or name another folder"
        )


def _clear(output: Path) -> None:
    """Take away what runs of ours wrote, the lock that is held left out."""
    for name in (SUMMARY, REJECTED, f"{WORK}/journal.jsonl"):
        (output / name).unlink(missing_ok=True)
    for name in (*SPLITS, str(STAGING), f"{WORK}/ready"):
        shutil.rmtree(output / name, ignore_errors=True)


def _look_at_all(
    source: Source, asked: Asked, journal: Journal, *, jobs: int, total: int | None, progress: Callable[[str], None]
) -> None:
    rejected = 0
    progress(f"looking at {'rows' if total is None else f'{total:,} rows or files'}")
    told = time.monotonic()
    for results in crew.run(_skip(iterate_units(source), journal.done), asked, jobs=jobs):
        journal.add(results)
        rejected += sum(isinstance(outcome, Rejected) for _, outcomes in results for outcome in outcomes)
        if time.monotonic() - told > 0.2:
            told = time.monotonic()
            progress(_draw("looked at", journal.done, total, f", {rejected:,} left out" * bool(rejected)))


def _skip(units: Iterator[Unit], done: int) -> Iterator[tuple[int, Unit]]:
    for number, unit in enumerate(units):
        if number >= done:
            yield number, unit


def _draw(what: str, done: int, total: int | None, more: str = "") -> Beat:
    """A line of progress, with a bar where it is known how much there is."""
    if not total:
        return Beat(f"{what} {done:,}{more}")
    share = min(1.0, done / total)
    full = round(20 * share)
    return Beat(f"[{'#' * full}{'.' * (20 - full)}] {share:4.0%}  {what} {done:,} of {total:,}{more}")


def _finish(
    journal: Journal, output: Path, asked: Asked, division: Division, progress: Callable[[str], None]
) -> tuple[Ledger, Divided, tuple[int, int, int]]:
    ledger = Ledger()
    ledger.take(journal.read())
    if not ledger.rows:
        most = f"; most often: {REASONS[ledger.rejected.most_common(1)[0][0]]}" if ledger.rejected else ""
        place = output / REJECTED
        atomic.write_text(place, _list_rejected(journal))
        raise PrepareError(f"no row is left of {journal.done:,}{most}. Each is named in {place}")
    divided = ledger.divide(
        division, lambda share: progress(_draw("compared", round(share * ledger.rows), ledger.rows))
    )
    ready = output / WORK / "ready"
    counts = write_splits(
        journal.read(), ledger, divided.splits, staging=asked.staging, ready=ready,
        tell=lambda rows: progress(_draw("written", rows, ledger.rows)),
    )  # fmt: skip
    progress("reading the folders back")
    prove(ready, counts)
    return ledger, divided, counts


def _list_rejected(journal: Journal) -> str:
    return "".join(
        msgspec.json.encode({"origin": one.origin, "reason": one.reason, "said": one.said}).decode("utf-8") + "\n"
        for one in journal.read()
        if isinstance(one, Rejected)
    )


def _summarise(
    source: Source,
    asked: Asked,
    division: Division,
    ledger: Ledger,
    divided: Divided,
    counts: tuple[int, int, int],
    taken: int,
    seconds: float,
) -> Summary:
    settings = msgspec.to_builtins(asked, enc_hook=str)
    for name in ("source", "staging", "roots"):
        settings.pop(name)
    return Summary(
        source=str(source.path),
        rows=ledger.rows + ledger.rejected.total(),
        train=counts[0],
        val=counts[1],
        test=counts[2],
        rejected={reason: ledger.rejected[reason] for reason in REASONS if ledger.rejected[reason]},
        changes={change: ledger.changes[change] for change in CHANGES if ledger.changes[change]},
        columns_left_out=dict(ledger.left_out.most_common()),
        kinds=dict(sorted(ledger.kinds.items())),
        exact_duplicates=divided.exact,
        exact_duplicates_with_another_text=divided.differing,
        near_duplicates=divided.near,
        groups=divided.groups,
        sets_kept_together=divided.sets,
        largest_set=divided.largest,
        unread=ledger.unread,
        taken=taken,
        seconds=round(seconds, 1),
        remarks=tuple(_remark(asked, division, ledger, divided, counts)),
        settings=settings | msgspec.to_builtins(division),
    )


def _remark(
    asked: Asked, division: Division, ledger: Ledger, divided: Divided, counts: tuple[int, int, int]
) -> Iterator[str]:
    for split, share, count in zip(SPLITS, division.shares, counts, strict=True):
        if share > 0 and not count:
            yield f"{split} is empty: there are too few rows that do not belong together"
    if ledger.unread:
        yield f"{ledger.unread} files could not be read to their end; what follows there is in no split"
    if divided.differing:
        yield f"{divided.differing} pictures have another text than an earlier row of the same pixels; one of them is wrong"
    if divided.largest > _LARGE_SET * ledger.rows and ledger.rows > 1:
        yield f"{divided.largest:,} of {ledger.rows:,} rows stay together; see --near and --group-by"
    if ledger.has_documents and asked.group_by is None:
        yield "several rows are of one document, and may stand on both sides; --group-by document keeps them together"


def _write(summary: Summary) -> str:
    return msgspec.json.format(msgspec.json.encode(summary), indent=2).decode("utf-8") + "\n"
