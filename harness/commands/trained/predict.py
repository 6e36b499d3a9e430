"""`preflight predict`: the pages of many files, read in batches, with a journal from which an ended run goes on."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec
import torch

from preflight_ocr.harness.commands.trained.journal import Entry, Journal, stamp_file
from preflight_ocr.harness.config.errors import UserError
from preflight_ocr.harness.config.packages import PackageAbsent
from preflight_ocr.harness.config.schema import Config
from preflight_ocr.harness.families import FamilyError
from preflight_ocr.harness.training.adapter_files import SETTINGS, AdapterFiles
from preflight_ocr.harness.training.collate import CollateError, Sequenced
from preflight_ocr.harness.training.images import ImageError
from preflight_ocr.harness.training.meeting import Meeting
from preflight_ocr.harness.training.pages import InputError, Page, list_files, list_pages, open_page
from preflight_ocr.harness.training.predict import WINDOW, Ended, Reading, read
from preflight_ocr.harness.training.reader import Reader
from preflight_ocr.harness.training.spreading import deal

LOG = logging.getLogger("preflight_ocr.harness.commands.trained")

Format = Literal["jsonl", "txt", "md"]
_PAGE_FAULTS = (ImageError, FamilyError, CollateError, PackageAbsent)


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What was read on one page; a line of the JSON output. `error` in place of `text` for a page that could not be read.

    `page` counts from 1; a file that could not be opened has page 0 of 0.
    """

    file: str
    page: int
    pages: int
    text: str | None
    ended: Ended | None
    error: str | None


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What the texts depend on besides the pages. A journal that was written for something else is not gone on with."""

    adapter: str
    prompt: str | None
    max_new_tokens: int
    dpi: int


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended. `taken` of the pages were read before, by a run that was ended; `passed` files were no pictures."""

    pages: int
    taken: int
    failed: tuple[Record, ...]
    repeated: int
    cut: int
    passed: int


def open_journal(output: Path, asked: Asked) -> Journal[Record]:
    """The journal of an output. Raises JournalError, and OSError where its folder cannot be written."""
    depends = "adapter, prompt, --max-new-tokens or --dpi"
    return Journal(output.with_name(f"{output.name}.part"), asked, Record, depends=depends)


def note(journal: Journal[Record], records: Sequence[Record]) -> None:
    """Keep what was read. Of a failed page nothing is kept: it is tried again."""
    good = [record for record in records if record.error is None]
    journal.add([Entry(_name_page(one.file, one.page), stamp_file(Path(one.file)), one) for one in good])


def _name_page(path: Path | str, number: int) -> str:
    return f"{number} {path}"


class Broken(msgspec.Struct, frozen=True, kw_only=True):
    """A file that cannot be opened, which has its place behind `before` pages."""

    before: int
    record: Record


class Placing:
    """Puts files that cannot be opened between the pages, where they were given."""

    def __init__(self, broken: Sequence[Broken]) -> None:
        self._waiting, self._seen = deque(broken), 0

    def add(self, records: Sequence[Record]) -> list[Record]:
        """The next pages, with the files that come before each of them."""
        placed = []
        for record in records:
            while self._waiting and self._waiting[0].before <= self._seen:
                placed.append(self._waiting.popleft().record)
            placed.append(record)
            self._seen += 1
        return placed

    def end(self) -> list[Record]:
        """The files that come behind the last page."""
        return [one.record for one in self._waiting]


def find_pages(inputs: Sequence[Path]) -> tuple[list[Page], list[Broken], int]:
    """Every page, the files that cannot be opened, and how many files were passed over. Raises InputError for no page."""
    files, passed = list_files(inputs)
    pages: list[Page] = []
    broken: list[Broken] = []
    for path in files:
        try:
            pages += list_pages(path)
        except _PAGE_FAULTS as error:
            broken.append(Broken(before=len(pages), record=_fail(Page(path=path, number=0, count=0), error)))
    if not pages and not broken:
        said = f"; {passed} files there are neither" if passed else ""
        raise InputError(
            f"{', '.join(map(str, inputs))}: no picture and no PDF found{said}; give a folder that has some, or the files"
        )
    return pages, broken, passed


def read_pages(
    reader: Reader, pages: Sequence[Page], *, batch_size: int, max_new_tokens: int, dpi: int
) -> Iterator[list[Record]]:
    """The records of the pages in their order, some batches at a time. What is wrong with a page is in its record."""
    for start in range(0, len(pages), WINDOW * batch_size):
        chosen = pages[start : start + WINDOW * batch_size]
        prepared = [_prepare(reader, page, dpi) for page in chosen]
        sound = [one for one in prepared if isinstance(one, Sequenced)]
        texts = iter(_read(reader, sound, batch_size, max_new_tokens))
        yield [
            _tell(page, next(texts)) if isinstance(one, Sequenced) else _fail(page, one)
            for page, one in zip(chosen, prepared, strict=True)
        ]


def _prepare(reader: Reader, page: Page, dpi: int) -> Sequenced | UserError:
    try:
        return reader.collator.prepare_prompt({"opened": open_page(page, dpi=dpi)})
    except _PAGE_FAULTS as error:
        return error


def _read(
    reader: Reader, prompts: Sequence[Sequenced], batch_size: int, max_new_tokens: int
) -> list[Reading | UserError]:
    """In smaller batches where the card has no room for these; a page that does not fit by itself fails."""
    try:
        return list(read(reader.model, reader.collator, prompts, batch_size=batch_size, max_new_tokens=max_new_tokens))
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
        if len(prompts) == 1:
            return [ImageError("the card has no room for this page; give --max-new-tokens less, or a smaller picture")]
    smaller = max(1, batch_size // 2)
    LOG.warning("the card has no room for %d pages at once; going on with %d", batch_size, smaller)
    if batch_size > 1:
        return _read(reader, prompts, smaller, max_new_tokens)
    return [one for prompt in prompts for one in _read(reader, [prompt], 1, max_new_tokens)]


def _tell(page: Page, found: Reading | UserError) -> Record:
    if isinstance(found, UserError):
        return _fail(page, found)
    return Record(
        file=str(page.path), page=page.number, pages=page.count, text=found.text, ended=found.ended, error=None
    )


def _fail(page: Page, error: UserError) -> Record:
    return Record(file=str(page.path), page=page.number, pages=page.count, text=None, ended=None, error=str(error))


def predict(
    reader: Reader,
    inputs: Sequence[Path],
    *,
    asked: Asked,
    output: Path | None,
    shape: Format,
    batch_size: int,
    progress: Callable[[str], None],
    show: Callable[[str], None],
    meeting: Meeting | None = None,
) -> Outcome | None:
    """Read every page of `inputs`. The output is written in one step when all is read; without one, `show` gets the texts.

    Until then they are in `OUTPUT.part`, from which the next run with the same command goes on. Of several processes, which
    have a `meeting`, each reads its part; the first keeps the journal, writes the output and returns, the others return
    None. Raises UserError, and OSError where the output cannot be written.
    """
    pages, broken, passed = find_pages(inputs)
    if meeting is not None and not meeting.place.is_first:
        _read_for_the_first(reader, pages, meeting, asked=asked, batch_size=batch_size)
        return None
    journal = open_journal(output, asked) if output is not None else None
    try:
        left = [
            page
            for page in pages
            if journal is None or not journal.has(_name_page(page.path, page.number), stamp_file(page.path))
        ]
        placing = Placing(broken)
        failed, done, counts = [one.record for one in broken], len(pages) - len(left), {"repetition": 0, "length": 0}
        progress(f"{done} of {len(pages)} pages read")
        if meeting is None:
            read = read_pages(reader, left, batch_size=batch_size, max_new_tokens=asked.max_new_tokens, dpi=asked.dpi)
        else:
            read = _read_with_others(reader, pages, left, meeting, asked=asked, batch_size=batch_size)
            read = read if journal is not None else _put_in_order(read, left)
        for records in read:
            if journal is not None:
                note(journal, records)
            else:
                show("".join(_write(record, shape) for record in placing.add(records)))
            done += len(records)
            failed += [record for record in records if record.error is not None]
            for record in records:
                if record.ended in counts:
                    counts[record.ended] += 1
            progress(f"{done} of {len(pages)} pages read")
        if journal is not None and output is not None:
            _finish(journal, pages, failed, output, shape, placing)
        else:
            show("".join(_write(record, shape) for record in placing.end()))
    finally:
        if journal is not None:
            journal.close()
    return Outcome(
        pages=len(pages),
        taken=len(pages) - len(left),
        failed=tuple(failed),
        repeated=counts["repetition"],
        cut=counts["length"],
        passed=passed,
    )


def _read_with_others(
    reader: Reader, pages: Sequence[Page], left: Sequence[Page], meeting: Meeting, *, asked: Asked, batch_size: int
) -> Iterator[list[Record]]:
    """Records of all pages that are `left`, in whatever order they come: this process's, and those that the others send."""
    here = set(left)
    told = (_name_pages(pages), [number for number, page in enumerate(pages) if page in here])
    meeting.share("pages", msgspec.msgpack.encode(told))
    size, window = meeting.place.size, WINDOW * batch_size
    awaited = {
        rank: len(deal(len(left), window=window, rank=rank, size=size)) for rank in range(1, size)
    }  # so many parts will come from each
    taken = dict.fromkeys(awaited, 0)

    def take(rank: int) -> list[Record]:
        data = meeting.hear(f"records {taken[rank]}", rank, keeps=False)
        taken[rank] += 1
        return msgspec.msgpack.decode(data, type=list[Record])

    for span in deal(len(left), window=window, rank=0, size=size):
        yield from _read_span(reader, left, span, asked, batch_size)
        for rank, count in awaited.items():
            while taken[rank] < count and meeting.has_said(f"records {taken[rank]}", rank):
                yield take(rank)
    for rank, count in awaited.items():
        while taken[rank] < count:
            yield take(rank)


def _read_for_the_first(
    reader: Reader, pages: Sequence[Page], meeting: Meeting, *, asked: Asked, batch_size: int
) -> None:
    """Read this process's part of what the first says is left, and send it what was read."""
    names, numbers = msgspec.msgpack.decode(meeting.share("pages"), type=tuple[list[str], list[int]])
    if names != _name_pages(pages):
        raise InputError(
            f"{meeting.place.name}: found {len(pages)} pages here and {len(names)} on the first machine, of other names; "
            f"give a folder that all machines share"
        )
    left = [pages[number] for number in numbers]
    place = meeting.place
    spans = deal(len(left), window=WINDOW * batch_size, rank=place.rank, size=place.size)
    for number, span in enumerate(spans):
        records = [record for part in _read_span(reader, left, span, asked, batch_size) for record in part]
        meeting.say(f"records {number}", msgspec.msgpack.encode(records))


def _read_span(
    reader: Reader, left: Sequence[Page], span: range, asked: Asked, batch_size: int
) -> Iterator[list[Record]]:
    chosen = [left[number] for number in span]
    return read_pages(reader, chosen, batch_size=batch_size, max_new_tokens=asked.max_new_tokens, dpi=asked.dpi)


def _name_pages(pages: Sequence[Page]) -> list[str]:
    return [f"{page.path} {page.number}/{page.count}" for page in pages]


def _put_in_order(read: Iterator[list[Record]], left: Sequence[Page]) -> Iterator[list[Record]]:
    """The same records in the order of the pages, each as soon as all before it are there."""
    waiting: dict[tuple[str, int], Record] = {}
    order = iter([(str(page.path), page.number) for page in left])
    following = next(order, None)
    for records in read:
        waiting |= {(record.file, record.page): record for record in records}
        whole = []
        while following in waiting:
            whole.append(waiting.pop(following))
            following = next(order, None)
        yield whole


def _finish(
    journal: Journal[Record],
    pages: Sequence[Page],
    failed: Sequence[Record],
    output: Path,
    shape: Format,
    placing: Placing,
) -> None:
    """Write everything in the order in which it was given; then the journal has done its work."""
    lost = {(record.file, record.page): record for record in failed}
    draft = output.with_name(f".{output.name[:100]}.draft")
    try:
        with draft.open("w", encoding="utf-8", newline="\n") as file:
            for page in pages:
                record = lost.get((str(page.path), page.number)) or journal.find(_name_page(page.path, page.number))
                file.writelines(_write(one, shape) for one in placing.add([record]))
            file.writelines(_write(record, shape) for record in placing.end())
        draft.replace(output)
    finally:
        draft.unlink(missing_ok=True)
    journal.end()


def _write(record: Record, shape: Format) -> str:
    """One page as it is written. A text alone has no place for an error: that is said on the terminal."""
    if shape == "jsonl":
        return msgspec.json.encode(record).decode("utf-8") + "\n"
    name = record.file if record.pages < 2 else f"{record.file}, page {record.page} of {record.pages}"
    if shape == "md":
        return f"## {name}\n\n{record.text if record.error is None else f'*Not read: {record.error}*'}\n\n"
    return "" if record.text is None else f"{record.text}\n\f"


def choose_prompt(config: Config, prompt: str | None) -> Config:
    """The configuration with another prompt, where one is given."""
    if prompt is None:
        return config
    return msgspec.structs.replace(config, data=msgspec.structs.replace(config.data, prompt=prompt))


def explain_prompt(config: Config, adapter: AdapterFiles) -> str | None:
    """What to say where it is not known which prompt the adapter was trained with; None where it is."""
    if config.data.prompt is not None:
        return None
    if config.subject.collator is not None:
        return f"the run's batches were built by {config.subject.collator}; give its prompt by --prompt"
    if config.source.name == SETTINGS:
        return (
            f"{adapter.directory} does not say what it was asked in training: give that by --prompt, or --config YAML"
        )
    return None
