from __future__ import annotations

import pytest
import torch
from PIL import Image, ImageDraw, ImageOps

from preflight_ocr.harness.families import Packing
from preflight_ocr.harness.families.patches import pack
from preflight_ocr.probes.batch.pixels import compare_views, count_views, find_views, spread

ROLES = {"pixels": "pixels"}
HALF, IMAGENET = (0.5, 0.5, 0.5), ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
SIZE = (96, 96)


def draw(seed, size=(160, 90)):
    """A page on which nothing is symmetric."""
    page = Image.new("RGB", size, (250, 245, 235))
    pen = ImageDraw.Draw(page)
    for i in range(14):
        x, y = (37 * (i + seed) ** 2) % size[0], (53 * (i + 2 * seed)) % size[1]
        pen.rectangle((x, y, x + 9 + 5 * (i % 4), y + 6 + i % 5), fill=(20 * (i % 5), 15 * i, 40 + 7 * seed))
    return page


PAGES = [draw(1), draw(5)]


def prepare(page, mean=HALF, std=HALF):
    width, height = page.size
    pixels = (
        torch.frombuffer(bytearray(page.tobytes()), dtype=torch.uint8).view(height, width, 3).permute(2, 0, 1) / 255
    )
    return (pixels - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]


def pad(page):
    return ImageOps.pad(page, SIZE, color=(127, 127, 127))


def batch(*views):
    return {"pixels": [view[None] for view in views]}


REFERENCE = batch(*(prepare(pad(page)) for page in PAGES))


def explain(*views):
    return compare_views(batch(*views), REFERENCE, roles=ROLES, pages=PAGES, mean=HALF, std=HALF)


def healthy():
    return [prepare(pad(page)) for page in PAGES]


def test_the_reference_explains_itself():
    found = explain(*healthy())
    assert [(v.row, v.geometry, v.source_row) for v in found] == [(0, "as expected", 0), (1, "as expected", 1)]
    assert all(v.mean == HALF and v.std == HALF for v in found)


@pytest.mark.parametrize(("mean", "std"), [IMAGENET, ((0, 0, 0), (1, 1, 1)), ((0, 0, 0), (1 / 255,) * 3)])
def test_the_normalisation_that_was_really_applied_is_recovered(mean, std):
    for view in explain(*(prepare(pad(page), mean, std) for page in PAGES)):
        assert view.geometry == "as expected"
        assert view.mean == pytest.approx(mean, abs=0.002)
        assert view.std == pytest.approx(std, abs=0.002)


@pytest.mark.parametrize(
    ("change", "geometry"),
    [
        (lambda page: page.resize(SIZE, Image.Resampling.BICUBIC), "squashed"),
        (lambda page: page.resize(SIZE, Image.Resampling.BILINEAR), "squashed"),
        (lambda page: ImageOps.fit(page, SIZE), "cropped"),
        (lambda page: ImageOps.mirror(pad(page)), "mirrored"),
        (lambda page: ImageOps.flip(pad(page)), "mirrored"),
        (lambda page: pad(page).transpose(Image.Transpose.ROTATE_90), "turned"),
        (lambda page: pad(page).transpose(Image.Transpose.ROTATE_180), "turned"),
        (lambda page: pad(page).transpose(Image.Transpose.ROTATE_270), "turned"),
        (lambda page: draw(9), "unrecognised"),
    ],
)
def test_what_was_done_to_the_geometry_is_told(change, geometry):
    found = explain(prepare(change(PAGES[0])), healthy()[1])
    assert [v.geometry for v in found] == [geometry, "as expected"]


def test_a_squashed_page_with_another_normalisation_tells_both():
    (view, _) = explain(prepare(PAGES[0].resize(SIZE, Image.Resampling.BICUBIC), *IMAGENET), healthy()[1])
    assert view.geometry == "squashed"
    assert view.std == pytest.approx(IMAGENET[1], abs=0.02)


def test_an_inverted_page_is_not_the_page():
    (view, _) = explain(-healthy()[0], healthy()[1])
    assert view.geometry == "unrecognised"


def test_swapped_pages_name_the_row_they_come_from():
    assert [v.source_row for v in explain(*reversed(healthy()))] == [1, 0]


def test_another_resampling_filter_is_no_other_geometry():
    views = [prepare(ImageOps.pad(p, SIZE, method=Image.Resampling.BILINEAR, color=(127, 127, 127))) for p in PAGES]
    assert {v.geometry for v in explain(*views)} == {"as expected"}


def test_another_size_of_view_is_no_other_geometry():
    views = [prepare(ImageOps.pad(page, (128, 128), color=(127, 127, 127))) for page in PAGES]
    assert {v.geometry for v in explain(*views)} == {"as expected"}


def test_blank_and_flat_views_say_nothing():
    assert explain(torch.zeros(3, *SIZE), torch.full((3, *SIZE), 0.3)) == ()


def test_half_precision_views_are_explained():
    found = explain(*(view.to(torch.bfloat16) for view in healthy()))
    assert {v.geometry for v in found} == {"as expected"}
    assert found[0].mean == pytest.approx(HALF, abs=0.02)


def test_views_under_a_name_that_the_model_does_not_know_are_looked_at_too():
    renamed = {"pixel_values": torch.stack(healthy())}
    found = compare_views(renamed, REFERENCE, roles=ROLES, pages=PAGES, mean=HALF, std=HALF)
    assert [(v.row, v.geometry, v.path) for v in found] == [
        (0, "as expected", "pixel_values[0]"),
        (1, "as expected", "pixel_values[1]"),
    ]


def test_more_views_than_rows_are_left_alone():
    assert len(explain(*healthy(), healthy()[0])) == 2


def test_the_row_of_a_view_is_its_first_index_or_its_place_in_the_batch():
    nested = [(torch.zeros(1, 3, 4, 4), torch.ones(1, 3, 4, 4)), (torch.ones(2, 3, 4, 4), torch.ones(1, 3, 4, 4))]
    assert [(row, path) for row, path, _ in find_views("x", nested, rows=2)] == [
        (0, "x[0][1]"),
        (1, "x[1][0][0]"),
        (1, "x[1][0][1]"),
        (1, "x[1][1]"),
    ]
    assert [row for row, _, _ in find_views("x", torch.ones(4, 3, 5, 5), rows=2)] == [0, 0, 1, 1]


def test_what_is_no_picture_is_no_view():
    values = [torch.ones(3), torch.ones(1, 4, 5, 5), torch.ones(3, 5, 5, dtype=torch.int64), "x", None]
    assert list(find_views("x", values, rows=5)) == []


def test_views_that_are_not_blank_are_counted_by_row():
    pixels = [(torch.zeros(1, 3, 4, 4), torch.ones(1, 3, 4, 4)), (torch.ones(2, 3, 4, 4), torch.ones(1, 3, 4, 4))]
    assert count_views({"pixels": pixels}, roles=ROLES, rows=2) == (1, 3)
    assert count_views({}, roles=ROLES, rows=2) == (0, 0)


@pytest.mark.parametrize("name", ["NEAREST", "BILINEAR", "BICUBIC", "LANCZOS"])
def test_a_squashed_page_does_not_read_as_another_normalisation(name):
    side = 250  # not a multiple of the size at which views are compared
    squashed = prepare(PAGES[0].resize((side, side), Image.Resampling[name]))
    (view,) = explain(squashed)
    assert view.geometry == "squashed"
    assert view.mean == pytest.approx(HALF, abs=0.02) and view.std == pytest.approx(HALF, abs=0.02)


PACKED = {"pixels": "pixels", "grid": "grid"}
PACKING = Packing(patch=2, temporal=2, merge=2)


def pack_two():
    """Two pictures as packed patches with their grid, and the pictures."""
    pictures = [torch.arange(3 * 8 * 4.0).view(3, 8, 4), torch.arange(3 * 4 * 12.0).view(3, 4, 12) + 500]
    patches = torch.cat([pack(picture, PACKING) for picture in pictures])
    return {"pixels": patches, "grid": torch.tensor([[1, 4, 2], [1, 2, 6]]), "input_ids": torch.ones(2, 5)}, pictures


def test_packed_patches_are_put_back_together_picture_by_picture():
    given, pictures = pack_two()
    found = spread(given, roles=PACKED, packing=PACKING)
    assert [torch.equal(mine, theirs) for mine, theirs in zip(found["pixels"], pictures, strict=True)] == [True, True]
    assert found["input_ids"] is given["input_ids"] and found["grid"] is given["grid"]
    assert isinstance(given["pixels"], torch.Tensor)  # the batch itself is left alone


def test_a_put_together_picture_is_a_view_of_its_row():
    given, _ = pack_two()
    found = spread(given, roles=PACKED, packing=PACKING)
    assert [row for row, _, _ in find_views("pixels", found["pixels"], rows=2)] == [0, 1]


def test_patches_in_reading_order_that_are_small_pictures_themselves_are_put_together_too():
    picture = torch.arange(3 * 4 * 6.0).view(3, 4, 6)
    patches = pack(picture, Packing(patch=2, temporal=1, merge=1)).view(6, 3, 2, 2)
    found = spread({"pixels": patches, "grid": torch.tensor([[1, 2, 3]])}, roles=PACKED, packing=PACKING)
    assert torch.equal(found["pixels"][0], picture)


@pytest.mark.parametrize(
    "grid",
    [
        torch.tensor([[1, 4, 2]]),  # fewer patches than there are
        torch.tensor([[1, 4, 2], [1, 3, 4]]),  # no whole blocks
        torch.tensor([[2, 2, 2], [1, 2, 6]]),  # a film
        torch.tensor([[1.0, 4.0, 2.0], [1.0, 2.0, 6.0]]),
        torch.tensor([[4, 2], [2, 6]]),
        [[1, 4, 2], [1, 2, 6]],
        None,
    ],
)
def test_patches_that_do_not_fit_their_grid_stay_as_they_are(grid):
    given, _ = pack_two()
    assert spread(given | {"grid": grid}, roles=PACKED, packing=PACKING)["pixels"] is given["pixels"]


def test_patches_of_another_width_stay_as_they_are():
    given, _ = pack_two()
    narrow = given | {"pixels": given["pixels"][:, :-1]}
    assert spread(narrow, roles=PACKED, packing=PACKING)["pixels"] is narrow["pixels"]
    assert spread(given, roles=PACKED, packing=None)["pixels"] is given["pixels"]


def test_pictures_one_after_the_other_are_dealt_out_to_their_rows():
    tiles = torch.arange(5.0).view(5, 1, 1, 1).expand(5, 3, 2, 2) + 1
    found = spread({"pixels": tiles}, roles=ROLES, packing=None, shares={"pixels": [3, 0, 2]})
    assert [len(mine) for mine in found["pixels"]] == [3, 0, 2]
    assert [row for row, _, _ in find_views("pixels", found["pixels"], rows=3)] == [0, 0, 0, 2, 2]


@pytest.mark.parametrize("shares", [None, {}, {"pixels": [3, 1]}, {"other": [5]}])
def test_shares_that_do_not_fit_leave_the_pictures_alone(shares):
    tiles = torch.ones(5, 3, 2, 2)
    assert spread({"pixels": tiles}, roles=ROLES, packing=None, shares=shares)["pixels"] is tiles


def test_what_is_no_tensor_stays_as_it_is():
    views = [(torch.ones(1, 3, 2, 2),)]
    assert spread({"pixels": views}, roles=ROLES, packing=PACKING)["pixels"] is views
    assert spread({}, roles=PACKED, packing=PACKING) == {}
