"""A picture as it will be learned: decoded whole, upright, of a fit size, and with its two fingerprints."""

from __future__ import annotations

import hashlib
import io
import warnings
from pathlib import Path

import msgspec
from PIL import Image

from preflight_ocr.harness import atomic
from preflight_ocr.harness.commands.prepare.asked import Asked
from preflight_ocr.harness.commands.prepare.places import require_inside
from preflight_ocr.harness.commands.prepare.reasons import Rejection
from preflight_ocr.harness.foreign.files import read_bytes
from preflight_ocr.harness.foreign.pictures import BROKEN_PICTURE
from preflight_ocr.harness.training.images import ImageError, open_image

HASH_SIDE = 16
"""The perceptual hash has 16 x 16 bits: with 8 x 8, different lines of print differ in no more bits than copies do."""

_ORIENTATION = 0x0112  # EXIF
_AS_THEY_ARE = {"PNG": ".png", "JPEG": ".jpg"}


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """The upright picture in mode L or RGB, its file's content, and which of CHANGES were made."""

    image: Image.Image
    content: bytes
    suffix: str
    changes: tuple[str, ...] = ()


def read_picture(name: str, content: bytes, asked: Asked) -> Picture:
    """The picture in these bytes. An upright PNG or JPEG of 8 bits keeps its bytes; others become PNG. Raises Rejection."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content)) as image:
                kind, mode = str(image.format), image.mode
                _require_size(name, *image.size, asked)  # before anything is decoded
                frames = int(getattr(image, "n_frames", 1))
                turned = image.getexif().get(_ORIENTATION, 1) not in (0, 1)
                plain = mode in ("L", "RGB") and "transparency" not in image.info
            if frames > 1 and kind == "TIFF":
                raise Rejection("several_pages", f"{name}: has {frames} pages, expected one; save each by itself")
            upright = open_image(name, content=content, keeps_grey=True)
    except Image.DecompressionBombError as error:
        raise Rejection("too_large", f"{name}: {error}") from None
    except ImageError as error:
        raise Rejection("not_a_picture", str(error)) from None
    except BROKEN_PICTURE as error:
        raise Rejection("not_a_picture", f"{name}: cannot be read as an image ({error})") from None
    changes = ["turned_upright"] * turned + ["first_picture"] * (frames > 1)
    if kind in _AS_THEY_ARE and plain and not changes:
        return Picture(image=upright, content=content, suffix=_AS_THEY_ARE[kind])
    if kind not in _AS_THEY_ARE or not plain:
        changes.append("converted")
    return encode_picture(upright, tuple(changes))


def encode_picture(image: Image.Image, changes: tuple[str, ...]) -> Picture:
    """A picture in mode L or RGB as PNG, without what was written about it."""
    buffer = io.BytesIO()
    bare = image.copy()
    bare.info = {}
    bare.save(buffer, "PNG")
    return Picture(image=image, content=buffer.getvalue(), suffix=".png", changes=changes)


def require_size(name: str, image: Image.Image, asked: Asked) -> None:
    """Raise Rejection for a picture that is too small or too large."""
    _require_size(name, *image.size, asked)


def read_file(path: Path, asked: Asked, *, name: str | None = None) -> bytes:
    """The bytes of a picture file inside the folders that are allowed. Raises Rejection.

    A link counts as the file that it leads to.
    """
    name = name or str(path)
    real = require_inside(path, name, asked)
    try:
        return read_bytes(real)
    except OSError as error:
        raise Rejection("not_a_picture", f"{name}: cannot be read: {error.strerror or error}") from None


def stage(picture: Picture, name: str, asked: Asked) -> str:
    """Write the picture below the staging folder; its path there. Raises OSError."""
    place = f"{name}{picture.suffix}"
    atomic.write_bytes(asked.staging / place, picture.content, durable=False)
    return place


def digest_pixels(image: Image.Image) -> str:
    """The same for two files of the same upright pixels, whatever their format."""
    found = hashlib.blake2b(repr(image.size).encode("ascii"), digest_size=16)
    found.update((image if image.mode == "RGB" else image.convert("RGB")).tobytes())
    return found.hexdigest()


def hash_looks(image: Image.Image) -> str:
    """The perceptual hash: 256 bits, of which copies of one picture differ in few."""
    import imagehash

    bits = imagehash.phash(image, hash_size=HASH_SIDE).hash.flatten()
    return f"{int(''.join('1' if bit else '0' for bit in bits), 2):064x}"


def _require_size(name: str, width: int, height: int, asked: Asked) -> None:
    if min(width, height) < asked.min_side:
        seen = f"{name}: {width} x {height} pixels"
        raise Rejection("too_small", f"{seen}, expected at least {asked.min_side} on each side (--min-side)")
    if width * height > asked.max_pixels:
        seen = f"{name}: {width} x {height} pixels"
        raise Rejection("too_large", f"{seen}, expected at most {asked.max_pixels:,} in all (--max-pixels)")
