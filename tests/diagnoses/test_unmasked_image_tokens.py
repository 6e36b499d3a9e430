from preflight_ocr.harness.facts import Unknown
from preflight_ocr.harness.judging.findings import Skipped
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered
from tests.specimens.unmasked_image_tokens import SICK


def test_image_tokens_with_labels_are_counted(findings_of):
    [finding] = findings_of("unmasked_image_tokens", SICK)
    assert finding.evidence == ("row 0: 7 image tokens trained on",)


def test_masked_image_tokens_are_silent(findings_of):
    assert findings_of("unmasked_image_tokens", RUN) == ()


def test_rows_that_could_not_be_read_are_skipped_not_passed(outcome_of):
    blind = altered(SICK, {"collator.batch.rows": Unknown(reason="could not be looked at")})
    assert outcome_of("unmasked_image_tokens", blind) == Skipped("could not be looked at")
