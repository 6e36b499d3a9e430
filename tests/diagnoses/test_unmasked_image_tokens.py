from fixtures.specimens import HEALTHY as RUN
from fixtures.specimens import altered
from fixtures.specimens.unmasked_image_tokens import SICK
from harness.facts import Unknown
from harness.findings import Skipped


def test_image_tokens_with_labels_are_counted(findings_of):
    [finding] = findings_of("unmasked_image_tokens", SICK)
    assert finding.evidence == ("row 0: 7 image tokens trained on",)


def test_masked_image_tokens_are_silent(findings_of):
    assert findings_of("unmasked_image_tokens", RUN) == ()


def test_rows_that_could_not_be_read_are_skipped_not_passed(outcome_of):
    blind = altered(SICK, {"collator.batch.rows": Unknown(reason="could not be looked at")})
    assert outcome_of("unmasked_image_tokens", blind) == Skipped("could not be looked at")
