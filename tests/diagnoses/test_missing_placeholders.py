from fixtures.specimens import altered
from fixtures.specimens.missing_placeholders import HEALTHY, SICK
from harness.facts import Unknown
from harness.findings import Skipped


def test_rows_without_a_placeholder_are_reported_with_the_number_expected(findings_of):
    [finding] = findings_of("missing_placeholders", SICK)
    assert "`<image>`" in finding.summary
    assert finding.evidence == ("row 0: 0 placeholders, expected 7", "row 1: 0 placeholders, expected 7")


def test_a_row_without_an_image_needs_no_placeholder(findings_of):
    assert findings_of("missing_placeholders", HEALTHY) == ()


def test_a_model_without_a_reference_batch_is_skipped_not_passed(outcome_of):
    blind = altered(SICK, {"collator.reference": Unknown(reason="could not be looked at")})
    assert outcome_of("missing_placeholders", blind) == Skipped("could not be looked at")
