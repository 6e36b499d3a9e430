from preflight_ocr.harness.judging.findings import Skipped
from tests.specimens import altered
from tests.specimens.worse_than_guessing import HEALTHY, SICK


def test_trained_weights_worse_than_chance_are_reported_with_both_losses(findings_of):
    [finding] = findings_of("worse_than_guessing", SICK)
    assert finding.evidence == ("loss 9.0000, ln(vocabulary) 6.2400",)


def test_weights_that_nobody_has_trained_yet_are_silent(findings_of):
    assert findings_of("worse_than_guessing", altered(SICK, {"forward.loss": 6.5})) == ()


def test_random_weights_are_skipped_not_passed(outcome_of):
    assert outcome_of("worse_than_guessing", HEALTHY) == Skipped(
        "the weights are random: only trained weights can beat a uniform guess"
    )
