from __future__ import annotations

import numpy
import pytest
from PIL import Image

from harness.config import Augmentation
from harness.training.images import ImageError, augment, open_image


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("RGBA", (0, 0, 0, 0), 255),
        ("LA", (0, 0), 255),
        ("RGBA", (0, 0, 0, 255), 0),
        ("L", 200, 200),
        ("1", 1, 255),
        ("I;16", 32896, 128),
        ("CMYK", (0, 0, 0, 0), 255),
    ],
)
def test_every_mode_becomes_the_rgb_a_reader_would_see(tmp_path, mode, colour, expected):
    path = tmp_path / ("image.tiff" if mode in ("CMYK", "I;16") else "image.png")
    Image.new(mode, (4, 4), colour).save(path)
    image = open_image(path)
    assert image.mode == "RGB"
    assert image.getpixel((1, 1)) == (expected,) * 3


def test_a_palette_with_a_transparent_colour_is_white_there(tmp_path):
    image = Image.new("P", (4, 4), 0)
    image.putpalette([10, 10, 10, 200, 200, 200])
    image.save(tmp_path / "palette.png", transparency=0)
    assert open_image(tmp_path / "palette.png").getpixel((0, 0)) == (255, 255, 255)


def test_float_pixels_are_scaled_from_zero_to_one(tmp_path):
    Image.fromarray(numpy.full((4, 4), 0.5, numpy.float32)).save(tmp_path / "float.tiff")
    assert open_image(tmp_path / "float.tiff").getpixel((0, 0)) == (127, 127, 127)


def test_a_photograph_is_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20)).save(tmp_path / "turned.jpg", exif=exif)
    assert open_image(tmp_path / "turned.jpg").size == (20, 40)


def test_a_corrupt_and_a_missing_image_are_errors_that_name_the_file(tmp_path):
    Image.effect_noise((64, 64), 50).save(tmp_path / "cut.png")
    content = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.png").write_text("not an image", encoding="utf-8")
    for name in ("cut.png", "text.png", "none.png"):
        with pytest.raises(ImageError, match=name):
            open_image(tmp_path / name)


def test_augmentation_is_bound_to_its_seed():
    image = Image.radial_gradient("L").convert("RGB")
    ranges = Augmentation(enabled=True, rotation_range=5, brightness_range=(0.8, 1.2), contrast_range=(0.8, 1.2))
    first, again, other = (augment(image, ranges, seed) for seed in (1, 1, 2))
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()
    assert augment(image, Augmentation(enabled=True), 1).tobytes() == image.tobytes()
