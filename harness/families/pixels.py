"""From an opened page to normalised tensors, with the page kept as bytes until the last step.

A page passes through here as `planes`: uint8 [channels, H, W] with three channels, or with one where all three are equal,
which is most scans. Whatever is done to planes is done strip by strip where it can be: a strip stays in the processor's
cache, while a whole page costs more in fresh memory than in arithmetic.

No JPEG is decoded at a reduced scale ("draft"): that averages blocks of pixels before they are rounded, so what is
resized afterwards differs from the model's own preparation at nearly every edge, by as much as a tenth of the range.
It would be exact only at scale 1, where it does nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch
    from PIL import Image

Resampling = Literal["exact", "fast"]
"""`exact` is Pillow's own arithmetic, which the models' preparations use. `fast` is torch's byte kernel: the same filter
with weights of 16 bits in place of 22. Either of its two passes may round a value the other way, so a result is off by two
levels of 255 at most; about one in a thousand is off at all. Pages that shrink far more in height than in width are
left to Pillow."""

_STRIP = 64
"""Rows of a strip: at 2,480 pixels across about 0.6 MB, which fits any second-level cache."""
_SAMPLE = (32, 32)


def find_grey(image: Image.Image) -> Image.Image:
    """The one channel (mode L) of an RGB picture whose channels are equal everywhere, else the picture as it is.

    Every later step treats channels alike and apart, so one of three equal ones stands for all, bit for bit.
    """
    from PIL import Image as Images
    from PIL import ImageChops

    def is_grey(red: Image.Image, green: Image.Image, blue: Image.Image) -> bool:
        return not any(ImageChops.difference(red, other).getbbox() for other in (green, blue))

    if image.mode == "L" or not is_grey(*image.resize(_SAMPLE, Images.Resampling.NEAREST).split()):
        return image
    bands = image.split()
    return bands[0] if is_grey(*bands) else image


def resize(image: Image.Image, sizes: Sequence[tuple[int, int]], resampling: Resampling) -> list[torch.Tensor]:
    """`image` (mode L or RGB) resized with the bicubic filter to each (width, height), as planes."""
    from PIL import Image as Images

    by_torch = [resampling == "fast" and not _may_begin_downwards(image.size, size) for size in sizes]
    pixels = _read_pixels(image) if any(by_torch) else None
    return [
        _resize_bytes(pixels, size)[: len(image.getbands())].contiguous()
        if pixels is not None and quickly
        else _list_planes(image.resize(size, Images.Resampling.BICUBIC))
        for size, quickly in zip(sizes, by_torch, strict=True)
    ]


def pad(planes: torch.Tensor, side: int, colour: tuple[int, int, int]) -> torch.Tensor:
    """Planes [channels, side, side] with the given ones centred on a colour; one channel becomes three for a tinted one."""
    import torch

    if len(set(colour)) > 1:
        planes = planes.expand(3, *planes.shape[1:])
    height, width = planes.shape[1:]
    top, left = round((side - height) / 2), round((side - width) / 2)
    square = torch.empty(len(planes), side, side, dtype=torch.uint8)
    for plane, level in zip(square, colour, strict=False):
        plane.fill_(level)
    square[:, top : top + height, left : left + width] = planes
    return square


def normalise(
    planes: torch.Tensor, channels: Sequence[torch.Tensor], mean: Sequence[float], std: Sequence[float]
) -> None:
    """(planes / 255 - mean) / std into `channels`, a tensor of the wanted dtype for each of the three.

    A channel has the shape of a plane after any view and permutation that the caller gave both. The arithmetic is
    float32, in this order, and rounded to the dtype once at the end.
    """
    import torch

    done: dict[tuple[float, float, int], torch.Tensor] = {}
    for index, channel in enumerate(channels):
        plane = min(index, len(planes) - 1)
        same = done.setdefault((mean[index], std[index], plane), channel)
        if same is not channel:
            channel.copy_(same)
            continue
        in_place = channel.dtype == torch.float32 and channel.is_contiguous()
        values = channel.copy_(planes[plane]) if in_place else planes[plane].to(torch.float32)
        values.div_(255).sub_(mean[index]).div_(std[index])
        if not in_place:
            channel.copy_(values)


def _list_planes(image: Image.Image) -> torch.Tensor:
    """uint8 [1 or 3, H, W] of a picture in mode L or RGB."""
    import numpy
    import torch

    planes = numpy.empty((len(image.getbands()), image.height, image.width), numpy.uint8)
    for rows, strip in _cut_strips(image):
        for plane, band in zip(planes, strip.split(), strict=True):
            plane[rows] = numpy.asarray(band)
    return torch.from_numpy(planes)


def _may_begin_downwards(old: tuple[int, int], new: tuple[int, int]) -> bool:
    """Whether some release of Pillow resizes down the columns before along the rows.

    Before 13 none does; since then those do whose height shrinks by more than twice what their width shrinks by. What
    the first pass clips at hard edges is lost to the second, so the order shows, and torch has one order only.
    """
    return old[1] > new[1] and old[1] - new[1] > 2 * (old[0] - new[0])


def _read_pixels(image: Image.Image) -> torch.Tensor:
    """uint8 [1, 4, H, W] with the channels of a pixel side by side, the layout that torch's kernel need not unpack."""
    import numpy
    import torch

    pixels = numpy.empty((image.height, image.width, 4), numpy.uint8)
    for rows, strip in _cut_strips(image):
        wide = (strip if strip.mode == "RGB" else strip.convert("RGB")).tobytes("raw", "RGBX")
        pixels[rows] = numpy.frombuffer(wide, numpy.uint8).reshape(strip.height, strip.width, 4)
    return torch.from_numpy(pixels).permute(2, 0, 1).unsqueeze(0)


def _resize_bytes(pixels: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """uint8 [4, H, W]."""
    from torch.nn.functional import interpolate

    resized: torch.Tensor = interpolate(pixels, size=size[::-1], mode="bicubic", antialias=True)
    return resized[0]


def _cut_strips(image: Image.Image) -> Iterator[tuple[slice, Image.Image]]:
    for top in range(0, image.height, _STRIP):
        bottom = min(image.height, top + _STRIP)
        yield slice(top, bottom), image.crop((0, top, image.width, bottom))
