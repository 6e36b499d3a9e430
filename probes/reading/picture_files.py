"""Every picture's header and end, and its pixels as far as a budget of them reaches. Memory stays bounded by the largest
picture that Pillow takes, however large the file is."""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from preflight_ocr.harness.config.packages import tell_absent
from preflight_ocr.harness.facts import Unknown
from preflight_ocr.harness.foreign.files import open_file
from preflight_ocr.harness.foreign.pictures import BROKEN_PICTURE

if TYPE_CHECKING:
    from PIL import Image

Kind = Literal[
    "missing image", "unreadable image", "truncated image", "enormous image", "exif rotation", "16-bit",
    "transparency", "cmyk", "palette", "empty text", "image token in text", "no image", "malformed row",
]  # fmt: skip
Trouble = tuple[Kind, str]

DECODED_PIXELS = 100_000_000
"""How many pixels of one split are decoded, in the order of its rows: some seconds. Line images of 100,000 pixels are
decoded up to 1,000 of them; beyond, headers and ends are read."""

_ORIENTATION = 0x0112
_NEEDS_A_PROGRAM = ("EPS", "WMF")  # decoding these would start Ghostscript, or needs Windows
_LARGEST_DECODED = 4_000_000  # pixels of the rare formats whose end cannot be seen otherwise
_LARGEST_FILE = 256 * 2**20  # bytes; no page of a size that Pillow takes is larger, unless it is mostly nothing
_TAIL = 4096
_BLOCK = 2**20


class PictureReader:
    """Looks at each file once, however many rows name it. `obstacle` says why none was opened, `opened` and `decoded` how
    many were, `passed_over` how many were sound as far as they were read, and not decoded."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[tuple[Trouble, ...], int]] = {}
        self._left = DECODED_PIXELS
        self.opened = self.decoded = self.passed_over = 0
        absent = tell_absent("opening an image", ("PIL",))
        self.obstacle = Unknown(reason=absent) if absent else None

    def begin_split(self) -> None:
        """From here on another budget of pixels is there to be decoded."""
        self._left = DECODED_PIXELS

    def look(self, path: Path) -> tuple[tuple[Trouble, ...], int]:
        """What is wrong with the picture, and its size in bytes; -1 where it cannot be opened."""
        name = str(path)
        if name not in self._seen:
            self._seen[name] = self._look(path)
        return self._seen[name]

    def look_at_bytes(self, content: bytes) -> tuple[tuple[Trouble, ...], int]:
        """The same for a picture that its row holds itself."""
        if self.obstacle is not None:
            return (), len(content)
        self.opened += 1
        return tuple(self._judge(io.BytesIO(content), len(content))), len(content)

    def _look(self, path: Path) -> tuple[tuple[Trouble, ...], int]:
        try:
            file = open_file(path)
        except FileNotFoundError:
            return (("missing image", str(path)),), -1
        except OSError as error:
            return (("unreadable image", f"{error.strerror}"),), -1
        with file:
            size = os.fstat(file.fileno()).st_size
            if size > _LARGEST_FILE:
                said = f"{size:,} bytes, expected at most {_LARGEST_FILE:,}; it was not read further"
                return (("enormous image", said),), size
            if self.obstacle is not None:
                return (), size  # that a file is absent is seen without Pillow; what is in it is not
            self.opened += 1
            return tuple(self._judge(file, size)), size

    def _judge(self, file: BinaryIO, size: int) -> Iterator[Trouble]:
        from PIL import Image, UnidentifiedImageError

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the size is judged below, for every size alike
                with Image.open(file) as image:
                    yield from _judge_header(image)
                    broken = next(_judge_ending(file, size, image), None)
                if broken is not None:
                    yield broken
                else:
                    self._decode(file)
        except Image.DecompressionBombError as error:
            yield "enormous image", str(error)
        except UnidentifiedImageError:
            yield (
                "unreadable image",
                "the file is empty" if not size else f"{size:,} bytes that are no image Pillow knows",
            )
        except BROKEN_PICTURE as error:
            yield "unreadable image", f"{type(error).__name__}: {error}"

    def _decode(self, file: BinaryIO) -> None:
        """Decode the pixels while the budget lasts; a JPEG at an eighth of its size, for which all of it is read."""
        from PIL import Image

        file.seek(0)
        with Image.open(file) as image:
            pixels = image.width * image.height
            limit = Image.MAX_IMAGE_PIXELS
            if limit is not None and pixels > limit:
                return  # which is a finding of its own
            if image.format in _NEEDS_A_PROGRAM or pixels > self._left:
                self.passed_over += 1
                return
            self._left -= pixels
            self.decoded += 1
            if image.format in ("JPEG", "MPO"):
                image.draft(None, (max(1, image.width // 8), max(1, image.height // 8)))
            image.load()


def _judge_header(image: Image.Image) -> Iterator[Trouble]:
    from PIL import Image as pillow

    width, height = image.size
    limit = pillow.MAX_IMAGE_PIXELS
    if limit is not None and width * height > limit:
        yield "enormous image", f"{width} x {height} pixels, Pillow warns above {limit:,}"
    # Pillow turns TIFF itself; elsewhere the tag is only looked up where there is one, as PNG would be decoded for it.
    if image.format != "TIFF" and "exif" in image.info:
        turned = image.getexif().get(_ORIENTATION, 1)
        if turned in range(2, 9):
            yield "exif rotation", f"EXIF orientation {turned}"
    mode = image.mode
    if mode.startswith("I") or mode == "F":
        yield "16-bit", f"mode {mode}"
    elif mode == "CMYK":
        yield "cmyk", "mode CMYK"
    elif mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        yield "transparency", f"mode {mode}"
    elif mode == "P":
        yield "palette", "mode P"


def _judge_ending(file: BinaryIO, size: int, image: Image.Image) -> Iterator[Trouble]:
    """Whether the file has its end, seen without decoding but for rare formats and small pictures."""
    if image.format in ("JPEG", "MPO"):
        if not _has_end(file, size, b"\xff\xd9", _find_scan):
            yield "truncated image", "the JPEG has no end marker"
    elif image.format == "PNG":
        if not _has_end(file, size, b"IEND", lambda file, size: 8):
            yield "truncated image", "the PNG has no IEND chunk"
        else:
            file.seek(8)  # where Pillow left the signature behind
            image.verify()  # checks every chunk's sum and decodes nothing
    elif image.format == "WEBP":
        file.seek(4)
        said = int.from_bytes(file.read(4), "little") + 8
        if said > size:
            yield "truncated image", f"{size:,} bytes, the header says {said:,}"
    elif image.format not in _NEEDS_A_PROGRAM and image.width * image.height <= _LARGEST_DECODED:
        try:
            image.load()
        except OSError as error:
            yield "truncated image", str(error)


def _has_end(file: BinaryIO, size: int, marker: bytes, find_start: Callable[[BinaryIO, int], int]) -> bool:
    """Look for a marker in the last bytes, where it nearly always is, then behind the picture's start, block by block."""
    file.seek(max(0, size - _TAIL))
    if marker in file.read(_TAIL)[-16:]:
        return True
    start = find_start(file, size)
    file.seek(start)
    last = b""
    while block := file.read(_BLOCK):
        if marker in last + block:
            return True
        last = block[-len(marker) :]
    return False


def _find_scan(file: BinaryIO, size: int) -> int:
    """Where a JPEG's first scan begins: its thumbnail, which has an end marker of its own, stands before."""
    place = 2
    while place + 4 <= size:
        file.seek(place)
        head = file.read(4)
        if len(head) < 4 or head[0] != 0xFF:
            break
        if head[1] == 0xDA:
            return place
        place += 2 + int.from_bytes(head[2:], "big") if head[1] != 0xFF else 1
    return size


def sample_digest(path: Path, size: int) -> bytes:
    """A digest of three small pieces of a file, which tells most files of one size apart; empty where it cannot be read."""
    try:
        with open_file(path) as file:
            pieces = []
            for place in (0, size // 2, max(0, size - _TAIL)):
                file.seek(place)
                pieces.append(file.read(_TAIL))
            return hashlib.sha256(b"".join(pieces)).digest()
    except OSError:
        return b""


def whole_digest(path: Path) -> bytes:
    """A digest of a whole file; empty for one that cannot be read, or that is larger than any page."""
    try:
        with open_file(path, limit=_LARGEST_FILE) as file:
            digest = hashlib.sha256()
            while block := file.read(_BLOCK):
                digest.update(block)
            return digest.digest()
    except OSError:
        return b""
