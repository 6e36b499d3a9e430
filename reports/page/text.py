"""Text of somebody else's made safe to look at: what is invisible in it, or turns the line around, is shown.

Escaping keeps a text from being markup. It does not keep a right-to-left override from showing `gpj.exe` as `exe.jpg`,
nor a NUL from ending the text in some viewer; so each such character is replaced by a sign that can be seen.
"""

from __future__ import annotations

import re
from typing import Any

from markupsafe import Markup, escape

# C0 and C1 controls but tab, line feed; zero-width signs, marks and overrides of direction, separators, halves of a pair.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
_REPEATED = re.compile(r"(<[^<>\s]{1,60}>)(?: ?\1){3,}")
_PICTURES = 0x2400  # Unicode's pictures of the control characters stand here in their order
_DELETE = "\u2421"


def reveal(value: Any) -> Any:
    """A text with every unseen character shown; anything else, and markup of our own, as it is."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return _UNSEEN.sub(_draw, value)


def spell(text: str) -> str:
    """One token's text: as `reveal`, and spaces, tabs and line ends shown too where they stand at an end or alone."""
    shown: str = reveal(text).replace("\n", "\u21b5").replace("\t", "\u21e5")
    body = shown.strip(" ")
    if not body:
        return "\u2423" * len(shown)
    left, right = len(shown) - len(shown.lstrip(" ")), len(shown) - len(shown.rstrip(" "))
    return "\u2423" * left + body + "\u2423" * right


def mark_code(text: str) -> Markup:
    """A message with what stands between backticks as code. Everything in it is escaped, the backticks are gone."""
    parts = reveal(text).split("`")
    if len(parts) % 2 == 0:  # one backtick too many: nothing can be paired
        return escape(reveal(text))
    pieces = (Markup("<code>{}</code>").format(part) if at % 2 else escape(part) for at, part in enumerate(parts))
    return Markup("").join(pieces)


def fold_repeats(text: str) -> Markup:
    """A text in which a token such as `<pad>` that stands there many times in a row stands once, and how often."""
    pieces, at = [], 0
    shown = reveal(text)
    for found in _REPEATED.finditer(shown):
        times = len(found[0].replace(" ", "")) // len(found[1])
        pieces += [
            escape(shown[at : found.start()]),
            Markup('{}<span class="dim"> x {}</span>').format(found[1], times),
        ]
        at = found.end()
    return Markup("").join([*pieces, escape(shown[at:])])


def spell_seconds(seconds: float) -> str:
    """A duration as people read it: `0.4 s`, `27 s`, `4 min 10 s`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _draw(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x20:
        return chr(_PICTURES + code)
    return _DELETE if code == 0x7F else f"\u27e8U+{code:04X}\u27e9"
