"""What becomes of a row: kept, or rejected with its reason."""

from __future__ import annotations

import msgspec

Scalar = str | int | float | bool | None


class Kept(msgspec.Struct, frozen=True, kw_only=True, tag="kept"):
    """A row that is sound. `picture` is its file below the folder of staged pictures, `size` that file's bytes.

    digest: of the upright pixels, 32 hexadecimal digits. looks: the perceptual hash, 64 hexadecimal digits. used: the
    picture's path below SOURCE, where it was chosen by a layout file. left_out: columns of the row that are not kept.
    """

    origin: str
    picture: str
    size: int
    width: int
    height: int
    digest: str
    looks: str
    text: str
    prompt: str | None
    source: str
    columns: dict[str, Scalar]
    group: str | None
    changes: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    used: str = ""


class Rejected(msgspec.Struct, frozen=True, kw_only=True, tag="rejected"):
    """A row that is left out. `unless_used` is a picture without a text of its own: none is missing where a layout file
    chose it. `ends`: what followed in the file was not read either."""

    origin: str
    reason: str
    said: str
    used: str = ""
    unless_used: str = ""
    ends: bool = False


Outcome = Kept | Rejected
