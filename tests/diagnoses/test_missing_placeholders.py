from preflight_ocr.harness.facts import Unknown
from tests.specimens import altered
from tests.specimens.missing_placeholders import HEALTHY, SICK

UNDECLARED = Unknown(reason="no family declares this model")


def test_rows_without_a_placeholder_are_reported_with_the_number_expected(findings_of):
    [finding] = findings_of("missing_placeholders", SICK)
    assert "`<image>`" in finding.summary
    assert finding.evidence == ("row 0: 0 placeholders, expected 7", "row 1: 0 placeholders, expected 7")


def test_a_row_without_an_image_needs_no_placeholder(findings_of):
    assert findings_of("missing_placeholders", HEALTHY) == ()


def test_of_a_model_that_nobody_declares_a_row_needs_at_least_one(findings_of):
    [finding] = findings_of("missing_placeholders", altered(SICK, {"collator.reference": UNDECLARED}))
    assert finding.evidence == (
        "row 0: 0 placeholders, expected at least 1",
        "row 1: 0 placeholders, expected at least 1",
    )


def test_a_model_whose_pictures_take_no_place_among_the_tokens_is_not_asked(findings_of):
    assert findings_of("missing_placeholders", altered(SICK, {"collator.placeholder": None})) == ()
