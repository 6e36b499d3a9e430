"""Foreign text as it may be shown: nothing in it can move a cursor, turn the reading direction or forge a line of ours.

It is cleaned once, where it becomes a fact or a message. Colours are taken out; whatever else a terminal would act on is
shown as an escape (`\\x1b`). Letters of every script stay as they are.
"""

from __future__ import annotations

import re
import unicodedata

LONGEST = 20_000
"""Characters of one foreign text that are kept: more than any message needs, and a report stays one that opens."""

# C0 but tab and newline, DEL, C1, line and paragraph separators, marks that turn the reading direction, invisible tags,
# halves of a surrogate pair, and the two code points that XML cannot hold.
_ACTING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff\U000e0000-\U000e007f]"
)

# Bold and colours, as transformers and torchrun write them into their messages. In a sentence they say nothing.
_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")


def clean(text: str, *, limit: int = LONGEST) -> str:
    """The text without colours, with everything else that acts shown as an escape, cut to `limit` characters.

    Newlines and tabs stay.
    """
    if not text.isprintable():
        text = _COLOUR.sub("", text)  # first: what is left on both sides of one is still looked at
    return _show(text, limit)


def clean_line(text: str, *, limit: int = 1000) -> str:
    """As `clean`, for what has to stay on one line and is what it is: a name, a key, a path. No part of it is taken out."""
    return _show(text, limit).replace("\n", "\\n").replace("\t", "\\t")


def _show(text: str, limit: int) -> str:
    if len(text) > limit:
        text = f"{text[:limit]}... ({len(text) - limit:,} more characters)"
    if text.isprintable():
        return text
    return _ACTING.sub(_escape, text.replace("\r\n", "\n"))


def clean_value(value: object) -> object:
    """Every text in nested tuples, lists and dicts cleaned; the value itself, not a copy, where nothing had to be."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, (tuple, list)):
        cleaned = [clean_value(item) for item in value]
        same = all(new is old for new, old in zip(cleaned, value, strict=True))
        return value if same else type(value)(cleaned)
    if isinstance(value, dict):
        pairs = [(_clean_key(key), clean_value(item)) for key, item in value.items()]
        same = all(key is old and item is value[old] for (key, item), old in zip(pairs, value, strict=True))
        return value if same else dict(pairs)
    return value


def squeeze(text: str) -> str:
    """Text without what a tokenizer may change on the way: case, width and white space."""
    return "".join(unicodedata.normalize("NFKC", text).casefold().split())


def _clean_key(key: object) -> object:
    """A key tells two entries apart: nothing is taken out of it."""
    return _show(key, LONGEST) if isinstance(key, str) else clean_value(key)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00  # a byte of a file name that is no UTF-8, as Python carries it
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
