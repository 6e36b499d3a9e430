"""Generated rows in the form of a held command's own rows: one of its rows with another picture and another text.

What the dataset does to a picture before the collator sees it is kept: a row that holds a picture, and not the name of a
file, gets one of the same mode, and of the same size where all rows have one size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from hypothesis.configuration import set_hypothesis_home_dir
from PIL import Image

from preflight_ocr.harness.commands.fuzz.bench import Batch, Bench, Refused
from preflight_ocr.harness.commands.fuzz.found import FuzzError, replay_as_found, search_as_found
from preflight_ocr.harness.foreign.rows import Step, get_at, put_at
from preflight_ocr.probes.workbench.held import HeldAssembly
from preflight_ocr.probes.workbench.rows import Spot, find_pictures, open_picture, replace_picture, tell_texts

_DEEPEST = 8


class HeldBench(Bench):
    """The collator of a held command, and the model behind it.

    Raises FuzzError where no row of the command has one picture and one text to be learnt that can be replaced.
    """

    def __init__(self, parts: HeldAssembly, folder: Path) -> None:
        super().__init__(parts, folder)
        self.most_rows = min(parts.held.batch_size, 3)
        self.form, self.picture, self.text = _choose_form(parts.rows)
        self._mode, self._size = _tell_finish(parts.rows)

    @property
    def takes_bare_rows(self) -> bool:
        """No: a row without a picture may have another form altogether."""
        return False

    def _collate_or_refuse(self, rows: Sequence[Mapping[str, Any]]) -> Batch | Refused:
        return super()._collate_or_refuse([self.dress(row) for row in rows])

    def dress(self, row: Mapping[str, Any]) -> Any:
        """A row {image_path, text} in the form of the command's rows."""
        dressed = put_at(self.form, self.text, row["text"])
        path = Path(str(row["image_path"]))
        if self.picture.form == "file":
            before = get_at(dressed, self.picture.path)
            return put_at(dressed, self.picture.path, path if isinstance(before, Path) else str(path))
        picture = open_picture({"page": str(path)}, Spot(("page",), "file"))
        if self.picture.form != "bytes":
            picture = picture.convert(self._mode)
            picture = picture if self._size is None else picture.resize(self._size)
        return replace_picture(dressed, self.picture, picture, path)


def _choose_form(rows: Sequence[Any]) -> tuple[Any, Spot, tuple[Step, ...]]:
    """A row, and where its one picture and its one text stand."""
    for row in rows:
        pictures = find_pictures(row)
        texts = [text for text in tell_texts(row).texts if text.strip()]
        if len(pictures) != 1 or len(texts) != 1:
            continue
        spots = list(_find_text(row, texts[0], (), 0))
        if len(spots) == 1:
            return row, pictures[0], spots[0]
    raise FuzzError(
        "no row of the command's has exactly one picture and one text to be learnt that stands by itself, so none can be "
        "given others; name your collator and rows in a YAML file (subject.collator, subject.dataset) and fuzz that"
    )


def _find_text(value: Any, text: str, path: tuple[Step, ...], depth: int) -> Iterator[tuple[Step, ...]]:
    """Every place of a row at which exactly this text stands."""
    if isinstance(value, str):
        if value == text:
            yield path
    elif depth < _DEEPEST and isinstance(value, Mapping):
        for key, item in value.items():
            yield from _find_text(item, text, (*path, key), depth + 1)
    elif depth < _DEEPEST and isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _find_text(item, text, (*path, index), depth + 1)


def _tell_finish(rows: Sequence[Any]) -> tuple[str, tuple[int, int] | None]:
    """Mode and size that all pictures of the rows have when the collator gets them; no size where they differ."""
    held = [get_at(row, spot.path) for row in rows for spot in find_pictures(row) if spot.form not in ("file", "bytes")]
    modes = {picture.mode for picture in held if isinstance(picture, Image.Image)}
    sizes = {picture.size for picture in held if isinstance(picture, Image.Image)}
    return modes.pop() if len(modes) == 1 else "RGB", sizes.pop() if len(sizes) == 1 and len(held) > 1 else None


def observe(
    parts: HeldAssembly, place: Path, *, folder: str, examples: int, seconds: float, replayed: str | None
) -> Any:
    """In the fork of a held command: search, or replay. Returns a Fuzzed as builtins, or {"refused": reason}."""
    set_hypothesis_home_dir(place / ".cache")
    try:
        bench = HeldBench(parts, Path(folder) / "pages")
    except FuzzError as error:
        return {"refused": str(error)}
    if replayed is not None:
        return msgspec.to_builtins(replay_as_found(bench, Path(replayed)))
    return msgspec.to_builtins(search_as_found(bench, Path(folder), examples=examples, seconds=seconds))
