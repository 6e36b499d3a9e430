from preflight_ocr.harness.facts import Unknown
from preflight_ocr.harness.judging.findings import Kept, Skipped
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


def test_a_few_tokens_that_the_targets_repeat_are_no_evidence_each_time(findings_of, outcome_of):
    repeated = altered(SICK, {"forward.loss": 7.1, "forward.loss_by_token": 6.3})
    outcome = outcome_of("worse_than_guessing", repeated)
    assert isinstance(outcome, Skipped) and "with each kind counted once it is 6.30" in outcome.reason
    untold = altered(repeated, {"forward.loss_by_token": Unknown(reason="another loss")})
    assert len(findings_of("worse_than_guessing", untold)) == 1


def test_a_good_loss_is_kept_whatever_its_rarest_tokens_cost(outcome_of):
    assert (
        outcome_of("worse_than_guessing", altered(SICK, {"forward.loss": 2.0, "forward.loss_by_token": 7.5})) == Kept()
    )
