"""Opening page images: every file becomes upright 8-bit RGB, or an error that names the file."""

from __future__ import annotations

import random
from io import BytesIO
from pathlib import Path

import numpy
from PIL import Image, ImageEnhance, ImageOps

from preflight_ocr.harness.config.errors import UserError
from preflight_ocr.harness.config.schema import Augmentation
from preflight_ocr.harness.foreign.files import read_bytes
from preflight_ocr.harness.foreign.pictures import BROKEN_PICTURE, tell_broken


class ImageError(UserError):
    """An image file cannot be used."""


def open_image(
    path: Path | str, *, content: bytes | None = None, keeps_grey: bool = False, frame: int = 0
) -> Image.Image:
    """An upright RGB image: EXIF orientation applied, transparency on white, more than 8 bits scaled down to 8.

    `content` are the file's bytes where they were read before; `frame` counts its pages from 0. With `keeps_grey` a file
    of one channel stays one (mode L), for those who treat channels alike; it is the same picture. Nothing is decoded at a
    reduced scale, because that changes pixels. Raises ImageError.
    """
    # Never by path: Pillow maps an uncompressed file of one channel, and turns a turned one of these wrongly.
    content = read_content(path) if content is None else content
    try:
        with Image.open(BytesIO(content)) as image:
            if frame:
                image.seek(frame)
            ImageOps.exif_transpose(image, in_place=True)
            opened = convert_to_bytes(image)
            opened.load()
    except (*BROKEN_PICTURE, Image.DecompressionBombError) as error:
        told = tell_broken(error, content)
        raise ImageError(f"{path}: cannot be read as an image ({told}); replace the file or drop its row") from error
    return opened if keeps_grey or opened.mode == "RGB" else opened.convert("RGB")


def read_content(path: Path | str) -> bytes:
    """The bytes of an image file. Raises ImageError."""
    try:
        return read_bytes(path)
    except FileNotFoundError:
        raise ImageError(f"{path}: there is no such image; correct image_path in metadata.json") from None
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error}); replace the file or drop its row") from error


def convert_to_bytes(image: Image.Image) -> Image.Image:
    """The picture in mode L where it has one channel, else in RGB; the picture itself where it is that already."""
    if image.mode.startswith(("I", "F")):
        return _scale_to_bytes(image)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        opaque = image.convert("RGBA")
        page = Image.new("RGBA", opaque.size, "white")
        return Image.alpha_composite(page, opaque).convert("RGB")
    if image.mode in ("L", "RGB"):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def augment(image: Image.Image, augmentation: Augmentation, seed: int) -> Image.Image:
    """Rotate, brighten and change contrast within the configured ranges; the same seed gives the same image."""
    source = random.Random(seed)
    angle = source.uniform(-augmentation.rotation_range, augmentation.rotation_range)
    brightness = source.uniform(*augmentation.brightness_range)
    contrast = source.uniform(*augmentation.contrast_range)
    if angle:
        image = image.rotate(angle, resample=Image.Resampling.BICUBIC, expand=True, fillcolor="white")
    image = ImageEnhance.Brightness(image).enhance(brightness)
    return ImageEnhance.Contrast(image).enhance(contrast)


def _scale_to_bytes(image: Image.Image) -> Image.Image:
    """Integer and float modes carry no range of their own: it is taken from the widest container the values fit in."""
    values = numpy.asarray(image, dtype=numpy.float64)
    top = float(values.max(initial=0.0))
    if image.mode.startswith("I;16"):
        ceiling = 65535.0
    else:
        ceiling = next(
            (limit for limit in (1.0, 255.0, 65535.0) if top <= limit and (limit > 1 or image.mode == "F")), top
        )
    return Image.fromarray(numpy.clip(values * (255.0 / ceiling), 0, 255).astype(numpy.uint8))
