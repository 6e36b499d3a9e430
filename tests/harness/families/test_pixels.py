"""The fast path against the plain one: the same operations written as anybody would, one view and one float at a time."""

from __future__ import annotations

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from preflight_ocr.fixtures.corpus.models import MODELS
from preflight_ocr.harness.config.schema import Preprocessing
from preflight_ocr.harness.families import Packing, deepseek_ocr, dots_ocr
from preflight_ocr.harness.families.deepseek_ocr import choose_tiling, read_geometry
from preflight_ocr.harness.families.patches import choose_size, pack, pack_normalised
from preflight_ocr.harness.families.pixels import find_grey, normalise, pad, resize

MEANS = {
    "alike": ((0.5,) * 3, (0.5,) * 3),
    "apart": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
}
DTYPES = st.sampled_from([torch.float32, torch.bfloat16, torch.float16])


@st.composite
def pictures(draw: st.DrawFn, longest: int = 300) -> Image.Image:
    """Noise, smooth shades or flat colour, tinted, grey in three channels or in one."""
    width, height = draw(st.integers(1, longest)), draw(st.integers(1, longest))
    source = numpy.random.default_rng(draw(st.integers(0, 2**16)))
    kind = draw(st.sampled_from(["noise", "shades", "flat", "edges"]))
    if kind == "noise":
        pixels = source.integers(0, 256, (height, width, 3))
    elif kind == "shades":
        pixels = numpy.linspace(0, 255, height * width * 3).reshape(height, width, 3)
    elif kind == "edges":
        pixels = 255 * source.integers(0, 2, (height, width, 3))
    else:
        pixels = numpy.full((height, width, 3), source.integers(0, 256, 3))
    image = Image.fromarray(pixels.astype(numpy.uint8))
    shown = draw(st.sampled_from(["RGB", "grey RGB", "L"]))
    return image if shown == "RGB" else image.convert("L").convert("RGB" if shown == "grey RGB" else "L")


def to_floats(image: Image.Image, mean, std) -> torch.Tensor:
    pixels = torch.from_numpy(numpy.array(image.convert("RGB"))).permute(2, 0, 1).to(torch.float32)
    return ((pixels / 255) - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)


def tile_plainly(image: Image.Image, geometry) -> list[torch.Tensor]:
    image, size, side = image.convert("RGB"), geometry.tile_size, geometry.base_size
    across, down = choose_tiling(*image.size, geometry)
    views = []
    if across * down > 1:
        resized = image.resize((size * across, size * down))
        boxes = [(x * size, y * size, (x + 1) * size, (y + 1) * size) for y in range(down) for x in range(across)]
        views.append(torch.stack([to_floats(resized.crop(box), geometry.mean, geometry.std) for box in boxes]))
    width, height = (max(1, round(length * (side / max(image.size)))) for length in image.size)
    square = Image.new("RGB", (side, side), tuple(int(channel * 255) for channel in geometry.mean))
    square.paste(image.resize((width, height)), (round((side - width) / 2), round((side - height) / 2)))
    return [*views, to_floats(square, geometry.mean, geometry.std).unsqueeze(0)]


@settings(deadline=None, max_examples=120)
@given(picture=pictures(), means=st.sampled_from([*MEANS]), dtype=DTYPES)
def test_tiles_and_global_view_are_the_plain_ones_bit_by_bit(picture, means, dtype):
    mean, std = MEANS[means]
    wanted = Preprocessing(base_size=128, image_size=64, crop_mode=True, image_mean=mean, image_std=std)
    geometry = read_geometry(MODELS / "deepseek_ocr", wanted)
    _, made = deepseek_ocr.draw(deepseek_ocr.cut(picture, geometry=geometry), geometry=geometry, dtype=dtype)
    views = [made.page] if made.tiles is None else [made.tiles, made.page]
    expected = [view.to(dtype) for view in tile_plainly(picture, geometry)]
    assert len(views) == len(expected) and all(map(torch.equal, views, expected))
    assert made.tiling == choose_tiling(*picture.size, geometry)
    assert all(view.is_contiguous() for view in views)


@settings(deadline=None, max_examples=80)
@given(picture=pictures(longest=150), means=st.sampled_from([*MEANS]), dtype=DTYPES, temporal=st.integers(1, 2))
def test_patches_are_the_plain_ones_bit_by_bit(picture, means, dtype, temporal):
    packing = Packing(patch=7, temporal=temporal, merge=2)
    mean, std = MEANS[means]
    geometry = dots_ocr.Geometry(
        packing=packing, min_pixels=784, max_pixels=14 * 14 * 40, mean=mean, std=std, resampling="exact"
    )
    size = choose_size(*picture.size, step=14, fewest=784, most=14 * 14 * 40)
    expected = pack(to_floats(picture.convert("RGB").resize(size, Image.Resampling.BICUBIC), mean, std), packing)
    count, page = dots_ocr.draw(dots_ocr.cut(picture, geometry=geometry), geometry=geometry)
    packed = torch.empty_like(expected, dtype=dtype)
    pack_normalised(page, packed, packing, mean=mean, std=std)
    assert torch.equal(packed, expected.to(dtype))
    assert count * packing.merge**2 == len(packed)


@settings(deadline=None, max_examples=60)
@given(picture=pictures(longest=200), size=st.tuples(st.integers(1, 300), st.integers(1, 300)))
def test_one_channel_stands_for_three_equal_ones(picture, size):
    grey = picture.convert("L")
    (one,), (three,) = (resize(page, [size], "exact") for page in (grey, grey.convert("RGB")))
    assert (len(one), len(three)) == (1, 3)
    assert torch.equal(one.expand_as(three), three)
    assert torch.equal(three.permute(1, 2, 0), torch.from_numpy(numpy.array(grey.convert("RGB").resize(size))))


def test_a_page_is_grey_only_if_every_pixel_is():
    page = Image.effect_noise((900, 700), 60).convert("RGB")
    assert find_grey(page).mode == "L"
    page.putpixel((613, 401), (10, 10, 11))
    assert find_grey(page) is page
    assert find_grey(Image.new("RGB", (900, 700), (200, 190, 180))).mode == "RGB"


@settings(deadline=None, max_examples=200)
@given(picture=pictures(), size=st.tuples(st.integers(1, 400), st.integers(1, 400)))
def test_fast_resizing_is_off_by_two_levels_at_most(picture, size):
    (fast,), (exact,) = (resize(picture, [size], how) for how in ("fast", "exact"))
    assert fast.shape == exact.shape and fast.dtype == torch.uint8
    assert int((fast.int() - exact.int()).abs().max()) <= 2


@pytest.mark.parametrize("size", [(640, 960), (362, 512), (1240, 1753)])
def test_fast_resizing_of_a_page_is_off_in_few_values(size):
    source = numpy.random.default_rng(3)
    page = Image.fromarray(source.integers(0, 256, (1754, 1240, 3)).astype(numpy.uint8))
    (fast,), (exact,) = (resize(page, [size], how) for how in ("fast", "exact"))
    assert float((fast != exact).float().mean()) < 0.01


@pytest.mark.parametrize("new", [(40, 30), (100, 60), (200, 30), (99, 119)])
def test_a_page_that_some_releases_of_pillow_resize_in_another_order_is_left_to_pillow(new):
    page = Image.fromarray(255 * numpy.random.default_rng(5).integers(0, 2, (300, 100, 3)).astype(numpy.uint8))
    (fast,), (exact,) = (resize(page, [new], how) for how in ("fast", "exact"))
    assert torch.equal(fast, exact)


def test_a_strip_does_not_show_in_the_picture():
    """Heights around the strips that a page is read in."""
    for height in (63, 64, 65, 128, 129):
        page = Image.effect_noise((70, height), 80).convert("RGB")
        (same,) = resize(page, [page.size], "exact")
        assert torch.equal(same.permute(1, 2, 0), torch.from_numpy(numpy.array(page)))


def test_a_tinted_margin_gives_a_grey_page_three_channels():
    page = torch.full((1, 2, 4), 9, dtype=torch.uint8)
    assert pad(page, 4, (7, 7, 7)).tolist() == [[[7] * 4, [9] * 4, [9] * 4, [7] * 4]]
    tinted = pad(page, 4, (1, 2, 3))
    assert tinted[:, 0, 0].tolist() == [1, 2, 3] and tinted[:, 1].unique().tolist() == [9]


def test_normalising_leaves_the_bytes_as_they_are():
    """They may lie in a file that others read."""
    planes = torch.randint(0, 256, (1, 8, 8), dtype=torch.uint8)
    before, out = planes.clone(), torch.empty(3, 8, 8)
    normalise(planes, [*out], (0.1, 0.2, 0.1), (0.3, 0.4, 0.3))
    assert torch.equal(planes, before)
    assert torch.equal(out[0], out[2]) and not torch.equal(out[0], out[1])
