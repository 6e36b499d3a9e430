"""What a check shows and nobody judges: pictures of what the model is given, and every token's text.

Illustrations are no facts: they are made only when a page is asked for, a digest does not cover them, and no contract can
need them. They come out of the collator's child as builtins, bounded in number and size by whoever makes them
(probes/batch/illustrations).
"""

from __future__ import annotations

import msgspec


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """One picture as a small PNG.

    `name` is where it is in the batch (`images[0][1]`), or the file's name for an original; `width` and `height` are those
    of what is pictured, in pixels; `png` is base64, empty where `remark` says why nothing could be drawn. `is_whole` tells
    a view of the whole page from a tile. `clipped` is the share of values that lay outside 0..255 after de-normalising.
    """

    name: str
    width: int
    height: int
    png: str = ""
    is_whole: bool = False
    clipped: float = 0.0
    remark: str = ""


class TokenText(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One token: its text, and the text of the label at its place where that is trained on and is another token."""

    text: str
    label: str = ""


class RowIllustration(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the batch. `columns` is how many tiles lie beside each other, 0 where that is not known.

    `tokens` are aligned with `Row.roles`, cut where they were too many.
    """

    original: Picture | None = None
    views: tuple[Picture, ...] = ()
    columns: int = 0
    left_out: int = 0
    tokens: tuple[TokenText, ...] = ()
    remarks: tuple[str, ...] = ()


class Illustrations(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="fact"):
    """The rows of the batch in their order, and how their pictures were turned back into colours."""

    rows: tuple[RowIllustration, ...] = ()
    colours: str = ""
