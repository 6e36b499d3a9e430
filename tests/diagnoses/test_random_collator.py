from preflight_ocr.harness.facts import Unknown
from preflight_ocr.harness.judging.findings import Skipped
from tests.specimens import altered
from tests.specimens.random_collator import HEALTHY, SICK


def test_two_different_batches_for_the_same_rows_are_reported(findings_of):
    [finding] = findings_of("random_collator", SICK)
    assert finding.summary.startswith("train:make_collator gave two different batches")


def test_our_own_augmentation_is_silent(findings_of):
    assert findings_of("random_collator", HEALTHY) == ()


def test_a_collator_that_was_not_run_is_skipped_not_passed(outcome_of):
    blind = altered(SICK, {"collator.deterministic": Unknown(reason="could not be looked at")})
    assert outcome_of("random_collator", blind) == Skipped("could not be looked at")
