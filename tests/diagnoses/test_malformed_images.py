from tests.specimens import HEALTHY as RUN
from tests.specimens import altered
from tests.specimens.malformed_images import HEALTHY, SICK


def test_a_missing_batch_dimension_is_reported_with_the_form_expected(findings_of):
    [finding] = findings_of("malformed_images", SICK)
    assert finding.evidence == ("images[0][0]: float32 tensor [3, 128, 128], expected float32 tensor [1, 3, 128, 128]",)


def test_a_page_of_another_size_that_forward_takes_is_silent(findings_of):
    assert findings_of("malformed_images", HEALTHY) == ()


def test_a_blank_page_is_reported_and_a_blank_tile_is_not(findings_of):
    blank = altered(RUN, {"collator.batch.leaves.4.minimum": 0.0, "collator.batch.leaves.4.maximum": 0.0})
    [finding] = findings_of("malformed_images", blank)
    assert finding.evidence == ("images[0][1]: all zero",)


def test_a_blank_in_place_of_tiles_that_the_user_does_not_cut_is_silent(findings_of):
    tiled = {"collator.reference.leaves.3.maximum": 1.0, "collator.planned_tiles": (2, 0)}
    assert "images[0][0]: all zero" in str(
        findings_of("malformed_images", altered(RUN, tiled | {"collator.seen_tiles": (2, 0)}))
    )
    assert findings_of("malformed_images", altered(RUN, tiled)) == ()
