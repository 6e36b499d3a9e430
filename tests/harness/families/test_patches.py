from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from preflight_ocr.harness.families import FamilyError, Packing
from preflight_ocr.harness.families.patches import LONGEST_ASPECT, choose_size, pack, unpack

SIDES = st.integers(1, 5000)
SMALL = st.integers(1, 4)


@settings(deadline=None, max_examples=60)
@given(patch=SMALL, merge=SMALL, temporal=SMALL, down=SMALL, across=SMALL)
def test_unpacking_undoes_packing(patch, merge, temporal, down, across):
    packing = Packing(patch=patch, merge=merge, temporal=temporal)
    height, width = down * merge * patch, across * merge * patch
    picture = torch.arange(3 * height * width, dtype=torch.float32).view(3, height, width)
    packed = pack(picture, packing)
    assert packed.shape == (down * across * merge**2, 3 * temporal * patch**2)
    assert torch.equal(unpack(packed, (down * merge, across * merge), packing), picture)


def test_blocks_come_row_by_row_and_so_do_the_patches_of_a_block():
    picture = torch.arange(16.0).view(1, 4, 4).expand(3, 4, 4)
    packed = pack(picture, Packing(patch=1, merge=2, temporal=1))
    assert packed[:, 0].tolist() == [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15]


def test_a_still_is_repeated_inside_each_channel():
    picture = torch.arange(12.0).view(3, 2, 2)
    (patch,) = pack(picture, Packing(patch=2, merge=1, temporal=2))
    assert patch.tolist() == [0, 1, 2, 3] * 2 + [4, 5, 6, 7] * 2 + [8, 9, 10, 11] * 2


@pytest.mark.parametrize(
    ("size", "chosen"),
    [
        ((100, 60), (112, 56)),  # rounded to the nearest multiple
        ((1, 1), (56, 56)),  # grown to the fewest pixels
        ((28, 28), (56, 56)),
        ((2000, 1000), (616, 308)),  # shrunk below the most
        ((20, 2000), (28, 1988)),  # a side never becomes nothing
    ],
)
def test_a_size_is_rounded_grown_or_shrunk(size, chosen):
    assert choose_size(*size, step=28, fewest=3136, most=200_704) == chosen


@settings(deadline=None, max_examples=300)
@given(width=SIDES, height=SIDES, step=st.sampled_from((14, 28, 32)))
def test_every_size_is_whole_steps_within_the_limits(width, height, step):
    fewest, most = 4 * step**2, 64 * step**2
    if max(width, height) > LONGEST_ASPECT * min(width, height):
        with pytest.raises(FamilyError, match="cut it into parts"):
            choose_size(width, height, step=step, fewest=fewest, most=most)
        return
    across, down = choose_size(width, height, step=step, fewest=fewest, most=most)
    assert across % step == down % step == 0
    assert across >= step and down >= step
    assert across * down >= fewest
    # A page so long that its short side is one step already cannot be made smaller without losing its shape.
    assert across * down <= most or min(across, down) == step


@settings(deadline=None, max_examples=200)
@given(width=SIDES, height=SIDES)
def test_a_turned_page_has_the_turned_size(width, height):
    if max(width, height) <= LONGEST_ASPECT * min(width, height):
        limits = {"step": 28, "fewest": 3136, "most": 200_704}
        assert choose_size(height, width, **limits) == choose_size(width, height, **limits)[::-1]
