from preflight_ocr.harness.judging.findings import Kept, NotApplicable
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
