from preflight_ocr.harness.facts import Unknown
from preflight_ocr.harness.judging.findings import Skipped
from tests.specimens import altered
from tests.specimens.truncated_image_tokens import HEALTHY, SICK


def test_a_page_cut_by_max_seq_length_is_reported_with_the_smallest_safe_length(findings_of):
    [finding] = findings_of("truncated_image_tokens", SICK)
    assert "24 tokens" in finding.summary
    assert finding.fix.snippet == "data: {max_seq_length: 24}"
    assert finding.evidence[0] == "row 0: 4 of 7 placeholders left in 5 tokens"


def test_a_page_with_fewer_placeholders_that_goes_on_is_silent(findings_of):
    assert findings_of("truncated_image_tokens", HEALTHY) == ()


def test_a_model_without_a_reference_batch_is_skipped_not_passed(outcome_of):
    blind = altered(SICK, {"collator.reference": Unknown(reason="could not be looked at")})
    assert outcome_of("truncated_image_tokens", blind) == Skipped("could not be looked at")
