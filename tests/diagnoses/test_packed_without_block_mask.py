from preflight_ocr.harness.facts import Unknown
from preflight_ocr.harness.judging.findings import Kept, NotApplicable, Skipped
from tests.specimens import altered
from tests.specimens.packed_without_block_mask import HEALTHY, SICK


def test_packed_rows_that_see_each_other_are_reported(findings_of):
    [finding] = findings_of("packed_without_block_mask", SICK)
    assert finding.summary.startswith("3 rows stand packed in fewer sequences, and 2 of them")
    assert "row 1: 0.4 at the first target, 0.3 behind it" in finding.evidence


def test_packed_rows_that_a_mask_keeps_apart_are_right(outcome_of):
    apart = altered(HEALTHY, {"forward.agreement.packed": True})
    assert isinstance(outcome_of("packed_without_block_mask", apart), Kept)


def test_it_is_no_matter_where_nothing_is_packed(outcome_of):
    assert isinstance(outcome_of("packed_without_block_mask", HEALTHY), NotApplicable)


def packed_and_asked_otherwise(**changed):
    """Rows packed into one sequence, whose logits alone cannot be had."""
    return altered(
        HEALTHY,
        {
            "forward.agreement": Unknown(reason="the collator writes another prompt than the one that is read with"),
            "collator.batch.rows_out": 1,
            **changed,
        },
    )


def test_a_picture_that_reaches_the_rows_behind_it_tells_as_well(findings_of):
    leaks = packed_and_asked_otherwise(**{"forward.behaviour.image_leaks": ((0, 1), (0, 2), (1, 2))})
    [finding] = findings_of("packed_without_block_mask", leaks)
    assert "changes the logits of 2 others" in finding.summary
    assert "the picture of row 1 reaches row 2" in finding.evidence


def test_pictures_that_reach_no_other_row_do_not_prove_that_texts_do_not(outcome_of):
    outcome = outcome_of("packed_without_block_mask", packed_and_asked_otherwise())
    assert isinstance(outcome, Skipped) and "another prompt" in outcome.reason
