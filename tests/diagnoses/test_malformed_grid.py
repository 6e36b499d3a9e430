import pytest

from preflight_ocr.harness.facts import Delta
from tests.specimens import altered
from tests.specimens.malformed_grid import GRIDDED, HEALTHY, OURS, SICK, grid


def test_exchanged_height_and_width_are_reported_with_what_the_patches_are(findings_of):
    [finding] = findings_of("malformed_grid", SICK)
    assert "(1, 10, 6), (1, 8, 4), and the patches have the order of (1, 6, 10), (1, 8, 4)" in finding.summary


def test_pages_made_smaller_in_another_way_are_silent(findings_of):
    assert findings_of("malformed_grid", HEALTHY) == ()


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (grid((1, 1, 588)), "make 588 patches, and the batch has 92"),
        (grid((1, 5, 12), (1, 8, 4)), "(1, 5, 12) cannot be merged 2 x 2"),
        (grid((6, 10), (8, 4)), "rows have 2 numbers, expected 3"),
    ],
)
def test_numbers_that_cannot_be_are_named(findings_of, seen, said):
    [finding] = findings_of("malformed_grid", altered(GRIDDED, {"collator.grid": seen}))
    assert said in " ".join(finding.evidence)


def test_the_grid_we_would_make_is_silent(findings_of):
    assert findings_of("malformed_grid", altered(GRIDDED, {"collator.grid": grid(*OURS)})) == ()


def test_a_grid_that_forward_could_not_take_is_shown_with_its_kind(findings_of):
    name = "image_grid_thw"
    delta = Delta(argument=name, path=name, kind="dtype", seen="float32 tensor [2, 3]", expected="int64 tensor [2, 3]")
    broken = altered(GRIDDED, {"collator.deltas": (delta,), "forward.behaviour.image_reaches": (False, False)})
    [finding] = findings_of("malformed_grid", broken)
    assert "float32 tensor [2, 3], expected int64" in finding.summary
