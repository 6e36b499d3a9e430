from __future__ import annotations

import pytest
import torch

from preflight_ocr.harness.facts import Unknown
from preflight_ocr.harness.families import Packing
from preflight_ocr.probes.batch.grids import look_at_grid

ROLES = {"pixel_values": "pixels", "image_grid_thw": "grid"}
PACKING = Packing(patch=2, temporal=1, merge=2)
WIDTH = 3 * 2**2


def draw(count, seed=0):
    return torch.rand(count, WIDTH, generator=torch.Generator().manual_seed(seed))


def batch(grid, patches=None):
    rows = torch.tensor(grid)
    return {"pixel_values": draw(int(rows.prod(-1).sum())) if patches is None else patches, "image_grid_thw": rows}


REFERENCE = batch([[1, 4, 2], [1, 2, 2]])


def look(given, reference=REFERENCE, packing=PACKING):
    return look_at_grid(given, reference, ROLES, packing)


def test_the_reference_held_against_itself_differs_nowhere():
    grid = look(REFERENCE)
    assert grid.seen == grid.expected == ((1, 4, 2), (1, 2, 2))
    assert (grid.argument, grid.patches, grid.merge, grid.same_patches) == ("image_grid_thw", 12, 2, True)


def test_a_grid_with_its_sides_swapped_comes_with_the_same_patches():
    grid = look(batch([[1, 2, 4], [1, 2, 2]]))
    assert grid.seen == ((1, 2, 4), (1, 2, 2)) and grid.expected == ((1, 4, 2), (1, 2, 2))
    assert grid.same_patches is True


def test_another_normalisation_leaves_the_patches_the_same_pictures():
    channels = torch.tensor([2.0, 3.0, 0.5]).repeat_interleave(4)
    assert look({**REFERENCE, "pixel_values": REFERENCE["pixel_values"] * channels - 1}).same_patches is True


@pytest.mark.parametrize(
    "patches",
    [draw(12, seed=5), draw(11), draw(12).flip(0), -draw(12), draw(12).view(12, 3, 4)[:, [1, 2, 0]].flatten(1)],
)
def test_other_patches_are_told(patches):
    grid = look({**REFERENCE, "pixel_values": patches})
    assert (grid.same_patches, grid.patches) == (False, len(patches))


def test_half_precision_is_enough_to_tell():
    assert look({**REFERENCE, "pixel_values": REFERENCE["pixel_values"].bfloat16()}).same_patches is True


def test_a_grid_of_nested_lists_is_read_too():
    assert look({**REFERENCE, "image_grid_thw": [(1, 4, 2), [1, 2, 2]]}).seen == ((1, 4, 2), (1, 2, 2))


@pytest.mark.parametrize("grid", [None, torch.tensor([1.5]), torch.tensor([[1.0, 4.0, 2.0]]), [1, 4, 2], "1 4 2"])
def test_what_is_no_table_of_whole_numbers_cannot_be_read(grid):
    found = look({**REFERENCE, "image_grid_thw": grid})
    assert isinstance(found, Unknown) and "`image_grid_thw` is not a table of whole numbers" in found.reason


def test_a_grid_beside_pixels_that_are_no_tensor_cannot_be_judged():
    found = look({**REFERENCE, "pixel_values": [[0.0]]})
    assert isinstance(found, Unknown) and "`pixel_values` is no tensor" in found.reason


def test_a_model_without_a_grid_or_without_packed_patches_has_none_to_look_at():
    assert look_at_grid(REFERENCE, REFERENCE, {"pixel_values": "pixels"}, PACKING) is None
    assert look(REFERENCE, packing=None) is None
    assert look(REFERENCE, reference={"input_ids": torch.ones(1, 1)}) is None
