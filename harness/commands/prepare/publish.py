"""The folders as they are handed over: written beside their place, read back through `datasets`, and only then put there."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from preflight_ocr.harness.commands.prepare.asked import SPLITS, PrepareError
from preflight_ocr.harness.commands.prepare.ledger import Ledger, is_left_out
from preflight_ocr.harness.commands.prepare.outcomes import Kept, Outcome

REJECTED = "rejected.jsonl"
_EVERY = 1000  # rows between two times that it is told
_BLOCK = 2**20  # bytes of metadata that are parsed at once
_PROVED = 20  # rows of a split that are opened


def write_splits(
    outcomes: Iterable[Outcome],
    ledger: Ledger,
    splits: bytearray,
    *,
    staging: Path,
    ready: Path,
    tell: Callable[[int], None],
) -> tuple[int, int, int]:
    """Write every split with its metadata.jsonl, and rejected.jsonl, into `ready`, which is made anew.

    Returns the rows of each split. Raises PrepareError where a staged picture is not what it was.
    """
    shutil.rmtree(ready, ignore_errors=True)
    ready.mkdir(parents=True)
    counts, row = [0, 0, 0], 0
    files: list[BinaryIO | None] = [None, None, None]
    rejected = (ready / REJECTED).open("wb")
    try:
        for outcome in outcomes:
            if not isinstance(outcome, Kept):
                if is_left_out(outcome, ledger):
                    line = {"origin": outcome.origin, "reason": outcome.reason, "said": outcome.said}
                    rejected.write(msgspec.json.encode(line) + b"\n")
                continue
            split = splits[row]
            file = files[split]
            if file is None:
                (ready / SPLITS[split]).mkdir()
                file = files[split] = (ready / SPLITS[split] / "metadata.jsonl").open("wb")
            _link(staging / outcome.picture, ready / SPLITS[split] / outcome.picture, outcome)
            file.write(msgspec.json.encode(_describe(outcome, ledger)) + b"\n")
            counts[split] += 1
            row += 1
            if row % _EVERY == 0:
                tell(row)
    finally:
        for one in (rejected, *files):
            if one is not None:
                one.flush()
                os.fsync(one.fileno())
                one.close()
    return counts[0], counts[1], counts[2]


def _describe(row: Kept, ledger: Ledger) -> dict[str, Any]:
    """A line of metadata.jsonl: each has the same columns, and each column values of one type."""
    described: dict[str, Any] = {"file_name": row.picture, "text": row.text}
    if ledger.asks:
        described["prompt"] = row.prompt
    described |= {"source": row.source, "origin": row.origin}
    for name, types in ledger.types.items():
        value = row.columns.get(name)
        described[name] = value if value is None or len(types) == 1 else str(value)
    return described


def _link(staged: Path, place: Path, row: Kept) -> None:
    """The picture in its place, under a second name while it is staged as well, so that this can be done again."""
    try:
        if staged.stat().st_size != row.size:
            raise FileNotFoundError
    except FileNotFoundError:
        raise PrepareError(
            f"{staged}: is not the picture that was written there; give --fresh to begin again"
        ) from None
    place.parent.mkdir(exist_ok=True)
    _copy(staged, place)


def _copy(picture: Path, place: Path) -> None:
    try:
        os.link(picture, place)
    except OSError:  # a file system without links
        shutil.copyfile(picture, place)


def prove(ready: Path, counts: tuple[int, int, int]) -> None:
    """Read through `datasets`: the number of rows of each split, and its first rows with their pictures, as an imagefolder.

    Of an imagefolder, `datasets` holds all metadata at once; that of a few rows is enough to prove its form. Raises
    PrepareError.
    """
    import datasets

    shown = [(split, count) for split, count in zip(SPLITS, counts, strict=True) if count]
    with tempfile.TemporaryDirectory(dir=ready.parent) as folder:
        cache, sample = Path(folder) / "cache", Path(folder) / "sample"
        tables = {split: str(ready / split / "metadata.jsonl") for split, _ in shown}
        written = datasets.load_dataset(
            "json", data_files=tables, streaming=True, cache_dir=str(cache), chunksize=_BLOCK
        )
        pictures = {split: str(sample / split / "**") for split, _ in shown}
        expected = {split: _sample(ready / split, sample / split) for split, _ in shown}
        opened = datasets.load_dataset("imagefolder", data_files=pictures, streaming=True, cache_dir=str(cache))
        for split, count in shown:
            if (seen := sum(1 for _ in written[split])) != count:
                raise PrepareError(f"{split}: {seen} rows through datasets, expected {count}; this is our fault")
            texts = [row["text"] for row in opened[split] if min(row["image"].size) > 0]
            if texts != expected[split]:
                said = "its first rows are others through datasets than were written; this is our fault"
                raise PrepareError(f"{split}: {said}")


def _sample(split: Path, place: Path) -> list[str]:
    """The first rows of a split as a folder of their own; their texts."""
    texts = []
    place.mkdir(parents=True)
    with (split / "metadata.jsonl").open("rb") as file, (place / "metadata.jsonl").open("wb") as copy:
        for line, _ in zip(file, range(_PROVED), strict=False):
            row = msgspec.json.decode(line)
            (place / row["file_name"]).parent.mkdir(exist_ok=True)
            _copy(split / row["file_name"], place / row["file_name"])
            copy.write(line)
            texts.append(row["text"])
    return texts


def put_in_place(ready: Path, output: Path) -> None:
    """Move what is ready to where it belongs, in place of what an ended run moved there before."""
    for name in (*SPLITS, REJECTED):
        place = output / name
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)
        if (ready / name).exists():
            (ready / name).replace(place)
