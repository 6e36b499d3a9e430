from __future__ import annotations

from io import BytesIO

import numpy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from preflight_ocr.harness.config.schema import Augmentation
from preflight_ocr.harness.training.images import ImageError, augment, open_image


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


@pytest.mark.parametrize("mode", ["L", "RGB", "I;16"])
def test_an_uncompressed_scan_is_turned_upright(tmp_path, mode):
    """By its path, Pillow 13 gives such a file in one channel neither turned nor as it is."""
    pixels = numpy.arange(6, dtype=numpy.uint8).reshape(2, 3) * 40
    page = (
        Image.fromarray(pixels.astype(numpy.uint16) * 257) if mode == "I;16" else Image.fromarray(pixels).convert(mode)
    )
    exif = Image.Exif()
    exif[0x0112] = 6
    page.save(tmp_path / "scan.tiff", exif=exif)
    assert numpy.asarray(open_image(tmp_path / "scan.tiff").convert("L")).tolist() == numpy.rot90(pixels, -1).tolist()


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


def open_plainly(path):
    """Every step in a picture of its own, and three channels from the start."""
    image = ImageOps.exif_transpose(Image.open(BytesIO(path.read_bytes())))
    if image.mode == "I;16":
        return Image.fromarray((numpy.asarray(image, numpy.float64) * (255 / 65535)).astype(numpy.uint8)).convert("RGB")
    if "A" in image.mode or "transparency" in image.info:
        opaque = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", opaque.size, "white"), opaque).convert("RGB")
    return image.convert("RGB")


@settings(deadline=None, max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    kind=st.sampled_from(["L", "RGB", "RGBA", "LA", "P", "P transparent", "1", "CMYK", "I;16"]),
    suffix=st.sampled_from([".png", ".jpg", ".tiff"]),
    turn=st.sampled_from([None, *range(1, 9)]),
    seed=st.integers(0, 2**16),
)
def test_every_way_of_opening_gives_the_same_picture(tmp_path, size, kind, suffix, turn, seed):
    mode = kind.split()[0]
    if suffix == ".jpg" and mode not in ("L", "RGB", "CMYK"):
        suffix = ".png"
    if suffix == ".png" and mode == "CMYK":
        suffix = ".tiff"
    pixels = numpy.random.default_rng(seed).integers(0, 256, (size[1], size[0], 4)).astype(numpy.uint8)
    page = Image.fromarray(pixels, "RGBA")
    if mode == "I;16":
        page = Image.fromarray(pixels[..., 0].astype(numpy.uint16) * 257)
    elif mode not in ("RGBA", "LA"):
        page = page.convert("RGB").convert(mode)
    else:
        page = page.convert(mode)
    extra = {"transparency": 3} if kind == "P transparent" and suffix == ".png" else {}
    if turn:
        extra["exif"] = Image.Exif()
        extra["exif"][0x0112] = turn
    path = tmp_path / f"page{suffix}"
    page.save(path, **extra)
    expected = open_plainly(path)
    opened, kept = open_image(path), open_image(path, keeps_grey=True)
    assert opened.mode == "RGB" and opened.size == expected.size and opened.tobytes() == expected.tobytes()
    assert open_image(tmp_path / "elsewhere", content=path.read_bytes()).tobytes() == expected.tobytes()
    assert kept.convert("RGB").tobytes() == expected.tobytes()
    assert kept.mode == ("L" if mode in ("L", "1", "I;16") else "RGB")


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**16), width=st.integers(2, 60), height=st.integers(2, 60))
def test_a_grey_page_is_augmented_as_its_three_channels_are(seed, width, height):
    ranges = Augmentation(enabled=True, rotation_range=9, brightness_range=(0.5, 1.5), contrast_range=(0.5, 1.5))
    pixels = numpy.random.default_rng(seed).integers(0, 256, (height, width)).astype(numpy.uint8)
    grey = Image.fromarray(pixels)
    assert augment(grey, ranges, seed).convert("RGB").tobytes() == augment(grey.convert("RGB"), ranges, seed).tobytes()


def test_decoding_at_a_reduced_scale_is_not_what_a_page_is_opened_by(tmp_path):
    """The proof that it would not do: the global view of a page with edges, from half the scale and from the whole."""
    page = Image.new("L", (1600, 1600), 255)
    for step in range(0, 1600, 9):
        page.paste(0, (step, 0, step + 4, 1600))
    page.save(tmp_path / "page.jpg", quality=95)
    with Image.open(tmp_path / "page.jpg") as reduced:
        reduced.draft("L", (512, 512))
        assert reduced.size == (800, 800)
        drafted = numpy.asarray(reduced.resize((512, 512)), int)
    whole = numpy.asarray(Image.open(tmp_path / "page.jpg").resize((512, 512)), int)
    assert abs(drafted - whole).max() > 2
    opened = open_image(tmp_path / "page.jpg", keeps_grey=True)
    assert opened.size == (1600, 1600)
    assert abs(numpy.asarray(opened.resize((512, 512)), int) - whole).max() == 0
