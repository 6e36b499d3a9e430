from preflight_ocr.harness.judging.findings import Skipped
from tests.specimens import altered
from tests.specimens.swapped_images import HEALTHY, SICK


def test_swapped_pages_are_reported_with_both_rows(findings_of):
    [finding] = findings_of("swapped_images", SICK)
    assert finding.evidence[0] == "row 0: images[0][1] shows the page of row 1"


def test_rows_that_were_sorted_as_a_whole_are_silent(findings_of):
    assert findings_of("swapped_images", HEALTHY) == ()


def test_pages_that_nobody_recognises_are_followed_to_the_logits(findings_of, outcome_of):
    followed = {
        **{f"collator.views.{row}.source_row": None for row in (0, 1)},
        "forward.behaviour.image_reaches": (False, False),
        "forward.behaviour.image_leaks": ((0, 1), (1, 0)),
    }
    [finding] = findings_of("swapped_images", altered(SICK, followed))
    assert finding.evidence[0] == "row 0: its logits hear of the page of row 1, and of no other"
    shifted = followed | {"forward.behaviour.image_leaks": ((0, 1),)}  # the page of row 1 went nowhere
    assert outcome_of("swapped_images", altered(SICK, shifted)) == Skipped("no page was recognised in the batch")


def test_whole_rows_in_another_order_are_neither_swapped_nor_blind_nor_leaking(findings_of):
    moved = {"forward.behaviour.image_reaches": (False, False), "forward.behaviour.image_leaks": ((0, 1), (1, 0))}
    for name in ("swapped_images", "unseen_image", "leaking_image"):
        assert findings_of(name, altered(HEALTHY, moved)) == ()
        assert findings_of(name, altered(SICK, moved))
