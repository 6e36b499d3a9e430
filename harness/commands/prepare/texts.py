"""A text as it will be learned: decoded, in one normal form, and without what no page shows."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

from preflight_ocr.harness.commands.prepare.reasons import Rejection
from preflight_ocr.harness.foreign.files import read_bytes

_LARGEST = 16 * 2**20  # bytes of a text file
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufdd0-\ufdef\ufffe\uffff]")
_LOST = re.compile("[\ufffd\ud800-\udfff]")
_LINE_END = re.compile("\r\n?|\x85|\u2028|\u2029")
_SHOWN = 5  # characters that are named


def read_text_file(path: Path) -> str:
    """The text of a file. Raises Rejection."""
    try:
        data = read_bytes(path, limit=_LARGEST)
    except OSError as error:
        raise Rejection("broken_file", f"{path}: cannot be read: {error.strerror or error}") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        said = f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8"
        raise Rejection("not_utf8", said) from None


def settle_text(text: str) -> tuple[str, tuple[str, ...]]:
    """The text to be learned, and which of CHANGES were made. Raises Rejection."""
    changes = []
    ended = _LINE_END.sub("\n", text)
    if ended != text:
        changes.append("line_ends")
    stripped = ended.strip()
    if not stripped:
        raise Rejection("empty_text", "the text is empty; write what the page says, or leave the page out")
    if stripped != ended.rstrip("\n"):  # the newline that ends a text file is no content
        changes.append("stripped")
    if found := _CONTROL.findall(stripped):
        raise Rejection("control_characters", f"the text holds {name_characters(found)}, expected none")
    if found := _LOST.findall(stripped):
        said = f"the text holds {name_characters(found)}: it was once decoded wrongly; write it anew from its source"
        raise Rejection("damaged_text", said)
    composed = unicodedata.normalize("NFC", stripped)
    if composed != stripped:
        changes.append("composed")
    return composed, tuple(changes)


def name_characters(characters: list[str]) -> str:
    """The code points, each once, in their order: `U+0007, U+200B`."""
    different = list(dict.fromkeys(characters))
    more = f" and {len(different) - _SHOWN} more" if len(different) > _SHOWN else ""
    return ", ".join(f"U+{ord(one):04X}" for one in different[:_SHOWN]) + more
