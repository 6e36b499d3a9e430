"""`preflight evaluate`: how well the base model and the adapter read the rows of one split."""

from __future__ import annotations

import datetime
import hashlib
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

import msgspec

from preflight_ocr.harness.commands.trained.journal import Entry, Journal, Stamp, stamp_file
from preflight_ocr.harness.config.errors import UserError
from preflight_ocr.harness.config.schema import Config
from preflight_ocr.harness.families import FamilyError
from preflight_ocr.harness.foreign.files import is_file, open_file
from preflight_ocr.harness.launched import find_place
from preflight_ocr.harness.training.collate import CollateError, Sequenced
from preflight_ocr.harness.training.data import Rows
from preflight_ocr.harness.training.images import ImageError
from preflight_ocr.harness.training.meeting import Meeting
from preflight_ocr.harness.training.predict import WINDOW, Reading, read
from preflight_ocr.harness.training.reader import Reader
from preflight_ocr.harness.training.repetition import SPAN
from preflight_ocr.harness.training.scores import (
    Confusion,
    Interval,
    RowScore,
    Summary,
    compare,
    find_constant,
    list_confusions,
    name_length,
    name_script,
    normalise,
    score_row,
    summarise,
)
from preflight_ocr.harness.training.spreading import deal
from preflight_ocr.harness.verdict.digests import digest_text

Split = Literal["train", "val", "test"]
Side = Literal["base", "adapter"]
_ROW_FAULTS = (ImageError, FamilyError, CollateError)
_SMALLEST_LIMIT = SPAN + 64  # tokens: fewer, and a text that runs away would be cut before it is seen to repeat itself


class EvaluationError(UserError):
    """There is nothing that could be measured, or what would be measured says nothing."""


class ReadRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row: its number from 0, the true text as it was compared, and what each side read, with scores."""

    number: int
    image: str | None
    source: str
    true: str
    read: dict[Side, str]
    ended: dict[Side, str]
    scores: dict[Side, RowScore]


class Texts(msgspec.Struct, frozen=True, kw_only=True):
    """What each side read in one row, before anything is compared; an entry of the journal."""

    sides: dict[Side, Reading]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What the readings depend on besides the rows. A journal that was written for something else is not gone on with."""

    split: Split
    base: str
    adapter: str | None
    settings: str
    max_new_tokens: int
    versions: dict[str, str]


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that are alike: `by` length, script or source."""

    by: str
    name: str
    sides: dict[Side, Summary]


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured. `difference` is the adapter's CER less the base's on the same rows; None for one side alone.

    `failed` maps the number of a row that could not be read to the reason: it is in no figure. `seconds` is how long reading
    and comparing took, without the loading of the model.
    """

    config: str
    base_model: str
    adapter: str | None
    split: Split
    data: str
    created: datetime.datetime
    seconds: float
    normalise: tuple[str, ...]
    max_new_tokens: int
    sides: dict[Side, Summary]
    difference: Interval | None
    groups: tuple[Group, ...]
    confusions: dict[Side, tuple[Confusion, ...]]
    rows: tuple[ReadRow, ...]
    failed: dict[int, str]
    versions: dict[str, str]

    @property
    def last(self) -> Side:
        """The side that is asked about: the adapter where there is one."""
        return "adapter" if "adapter" in self.sides else "base"

    def find_constant(self, side: Side) -> tuple[str, int] | None:
        """(text, rows) where more than half of the rows were read as one text that is not theirs (scores.find_constant)."""
        return find_constant([(row.true, row.read[side]) for row in self.rows])


def open_rows(config: Config, split: Split, *, allow_overlap: bool = False) -> Rows:
    """The rows of a split. Raises EvaluationError for none, and where the training rows have some of its pictures."""
    directory: Path | None = getattr(config.data, f"{split}_path")
    if directory is None:
        given = [name for name in ("test", "val", "train") if getattr(config.data, f"{name}_path") is not None]
        hint = f"; or give --split {given[0]}" if given else ""
        raise EvaluationError(f"{config.source}: data.{split}_path is missing; set it to the rows to be read{hint}")
    rows = Rows(directory)
    if split == "train" or allow_overlap or config.data.train_path is None:
        return rows
    shared = find_shared(rows, Rows(config.data.train_path))
    if shared:
        message = (
            f"{len(shared)} of the {len(rows)} pictures in data.{split}_path are in data.train_path too, the first is "
            f"{shared[0]}; take them out of one of the two, or give --allow-overlap"
        )
        raise EvaluationError(message)
    return rows


def find_shared(rows: Rows, trained: Rows) -> list[str]:
    """The pictures of `rows` whose file has the same bytes as one of the other rows. Only files of like size are read."""
    sizes: dict[int, list[Path]] = {}
    for path in _list_pictures(trained):
        sizes.setdefault(path.stat().st_size, []).append(path)
    known: dict[int, set[bytes]] = {}
    shared = []
    for path in _list_pictures(rows):
        size = path.stat().st_size
        if size not in sizes:
            continue
        if size not in known:
            known[size] = {_hash(other) for other in sizes[size]}
        if _hash(path) in known[size]:
            shared.append(str(path))
    return shared


def _list_pictures(rows: Rows) -> Iterator[Path]:
    found = (row.get("image_path") for row in (rows[index] for index in range(len(rows))))
    yield from (Path(path) for path in dict.fromkeys(found) if path is not None and is_file(Path(path)))


def _hash(path: Path) -> bytes:
    file: Any
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").digest()


def find_limit(reader: Reader, rows: Rows, limit: int | None) -> int:
    """Tokens that one of the first `limit` rows may be read as: those of the file, or twice those of the longest text."""
    if given := reader.config.evaluation.max_new_tokens:
        return given
    encode = reader.collator.tokenizer.encode
    number = min(len(rows), limit or len(rows))
    longest = max(len(encode(rows[index]["text"], add_special_tokens=False)) for index in range(number))
    return max(_SMALLEST_LIMIT, 2 * longest + 1)


def open_journal(
    output: Path,
    reader: Reader,
    *,
    split: Split,
    adapter: str | None,
    max_new_tokens: int,
    versions: Mapping[str, str],
) -> Journal[Texts]:
    """What is read is kept beside the output, by each of several processes for itself. `adapter` is the digest of its
    weights. Raises JournalError, and OSError where the folder cannot be written."""
    config, place = reader.config, find_place()
    told = msgspec.to_builtins((config.model, config.data, config.subject), enc_hook=str)
    weights = sorted(path for ending in ("safetensors", "bin") for path in reader.directory.glob(f"*.{ending}"))
    asked = Asked(
        split=split,
        base=digest_text((path.name, str(stamp_file(path))) for path in weights),
        adapter=adapter,
        settings=digest_text([("settings", str(told))]),
        max_new_tokens=max_new_tokens,
        versions=dict(versions),
    )
    ending = f".part-{place.rank}" if place.rank else ".part"
    depends = "split, model, adapter, data section, evaluation.max_new_tokens or release of a package"
    return Journal(output.with_name(f"{output.name}{ending}"), asked, Texts, depends=depends)


def evaluate(
    reader: Reader,
    rows: Rows,
    *,
    split: Split,
    adapter: Path | None,
    batch_size: int,
    limit: int | None,
    max_new_tokens: int,
    progress: Callable[[str], None],
    versions: Mapping[str, str],
    journal: Journal[Texts] | None = None,
    meeting: Meeting | None = None,
) -> Evaluation | None:
    """Read the first `limit` rows with each side and compare. Raises EvaluationError where no row could be read.

    What is in the `journal` is not read again. Of several processes, which have a `meeting`, each reads its part; the first
    returns the evaluation, the others None.
    """
    began, config, number = time.perf_counter(), reader.config, min(len(rows), limit or len(rows))
    sides: tuple[Side, ...] = ("base", "adapter") if adapter is not None else ("base",)
    rank, size = (meeting.place.rank, meeting.place.size) if meeting is not None else (0, 1)
    mine = deal(number, window=WINDOW * batch_size, rank=rank, size=size)
    found: list[ReadRow] = []
    failed: dict[int, str] = {}
    for span in mine:
        prompts: dict[int, Sequenced] = {}
        stamps: dict[int, Stamp] = {}
        for index in span:
            row = rows[index]
            stamps[index] = _stamp(row)
            if journal is not None and journal.has(str(index), stamps[index]):
                found.append(_score(index, rows, journal.find(str(index)).sides, config))
                continue
            try:
                prompts[index] = reader.collator.prepare_prompt(row)
            except _ROW_FAULTS as error:
                failed[index] = str(error)
        texts = {side: _read(reader, side, list(prompts.values()), batch_size, max_new_tokens) for side in sides}
        read_now = {
            index: Texts(sides={side: texts[side][place] for side in sides}) for place, index in enumerate(prompts)
        }
        if journal is not None:
            journal.add([Entry(str(index), stamps[index], one) for index, one in read_now.items()])
        found += [_score(index, rows, one.sides, config) for index, one in read_now.items()]
        progress(f"{len(found) + len(failed)} of {sum(map(len, mine))} rows read")
    if meeting is not None:
        progress("waiting for the other processes")
        parts = meeting.gather("rows", msgspec.msgpack.encode((found, failed)))
        if not meeting.place.is_first:
            return None
        found, failed = _join(parts)
    found.sort(key=lambda row: row.number)
    if not found:
        raise EvaluationError(f"none of the {number} rows could be read; the first: {next(iter(failed.values()))}")
    scores = {side: [row.scores[side] for row in found] for side in sides}
    return Evaluation(
        config=str(config.source),
        base_model=config.model.base_model,
        adapter=str(adapter) if adapter is not None else None,
        split=split,
        data=str(rows.directory),
        created=datetime.datetime.now(datetime.UTC),
        seconds=round(time.perf_counter() - began, 1),
        normalise=config.evaluation.normalise,
        max_new_tokens=max_new_tokens,
        sides={side: _sum_up(found, side) for side in sides},
        difference=compare(scores["base"], scores["adapter"]) if adapter is not None else None,
        groups=tuple(_group(found, sides)),
        confusions={side: list_confusions(scores[side]) for side in sides},
        rows=tuple(found),
        failed=failed,
        versions=dict(versions),
    )


def _join(parts: Sequence[bytes]) -> tuple[list[ReadRow], dict[int, str]]:
    """What all processes read."""
    found: list[ReadRow] = []
    failed: dict[int, str] = {}
    for part in parts:
        rows, lost = msgspec.msgpack.decode(part, type=tuple[list[ReadRow], dict[int, str]])
        found += rows
        failed |= lost
    return found, dict(sorted(failed.items()))


def _stamp(row: Mapping[str, Any]) -> Stamp:
    """The text, which scores need, and the picture's file."""
    path = row.get("image_path")
    return [zlib.crc32(row["text"].encode("utf-8")), *(stamp_file(Path(path)) if path is not None else ())]


def _read(reader: Reader, side: Side, prompts: list[Sequenced], batch_size: int, most: int) -> list[Reading]:
    is_bare = side == "base" and hasattr(reader.model, "disable_adapter")
    with reader.without_adapter() if is_bare else nullcontext():
        return read(reader.model, reader.collator, prompts, batch_size=batch_size, max_new_tokens=most)


def _score(index: int, rows: Rows, texts: Mapping[Side, Reading], config: Config) -> ReadRow:
    row, steps = rows[index], config.evaluation.normalise
    true = normalise(row["text"], steps)
    seen = {side: normalise(one.text, steps) for side, one in texts.items()}
    return ReadRow(
        number=index,
        image=row.get("image_path"),
        source=_name_source(row, rows.directory),
        true=true,
        read=seen,
        ended={side: one.ended for side, one in texts.items()},
        scores={side: score_row(true, text) for side, text in seen.items()},
    )


def _name_source(row: Mapping[str, Any], directory: Path) -> str:
    """The row's own `source`, else the folder that its picture is in."""
    if row.get("source"):
        return str(row["source"])
    path = row.get("image_path")
    if path is None:
        return "no picture"
    parent = Path(path).parent
    return parent.relative_to(directory).as_posix() if parent.is_relative_to(directory) else str(parent)


def _group(rows: Sequence[ReadRow], sides: Sequence[Side]) -> Iterator[Group]:
    """Groups of each kind; a kind with one group only tells nothing."""
    kinds: tuple[tuple[str, Callable[[ReadRow], str]], ...] = (
        ("length", lambda row: name_length(row.true)),
        ("script", lambda row: name_script(row.true)),
        ("source", lambda row: row.source),
    )
    for by, name in kinds:
        groups: dict[str, list[ReadRow]] = {}
        for row in sorted(rows, key=lambda row: len(row.true)) if by == "length" else rows:
            groups.setdefault(name(row), []).append(row)
        if len(groups) > 1:
            yield from (
                Group(by=by, name=group, sides={side: _sum_up(chosen, side) for side in sides})
                for group, chosen in groups.items()
            )


def _sum_up(rows: Sequence[ReadRow], side: Side) -> Summary:
    ends = Counter(row.ended[side] for row in rows)
    return summarise([row.scores[side] for row in rows], repeated=ends["repetition"], cut=ends["length"])
