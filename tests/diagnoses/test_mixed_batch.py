from preflight_ocr.harness.facts import Raised, Unknown
from preflight_ocr.harness.judging.findings import Skipped
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered
from tests.specimens.mixed_batch import SICK


def test_a_page_given_to_a_row_without_one_is_reported(findings_of):
    [finding] = findings_of("mixed_batch", SICK)
    assert finding.evidence[0] == "row 0 has another row's page or mask"


def test_a_mixed_batch_that_keeps_its_rows_is_silent(findings_of):
    assert findings_of("mixed_batch", RUN) == ()


def test_data_without_such_rows_is_skipped_not_passed(outcome_of):
    blind = altered(SICK, {"collator.mixed_rows": Unknown(reason="could not be looked at")})
    assert outcome_of("mixed_batch", blind) == Skipped("could not be looked at")


def test_a_collator_that_raises_on_a_row_without_an_image_is_quoted(findings_of):
    [finding] = findings_of(
        "mixed_batch", altered(RUN, {"collator.mixed_rows": Raised(type="KeyError", message="'image'", site=None)})
    )
    assert "KeyError: 'image'" in finding.summary
