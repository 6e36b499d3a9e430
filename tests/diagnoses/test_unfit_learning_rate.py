from preflight_ocr.harness.facts import Unknown
from preflight_ocr.harness.judging.findings import Severity, Skipped
from tests.specimens import altered
from tests.specimens.unfit_learning_rate import HEALTHY, SICK


def test_a_run_that_cannot_move_the_logits_is_told_with_its_figures(findings_of):
    [finding] = findings_of("unfit_learning_rate", SICK)
    assert "In 20 steps with a rate of at most 2.0e-07" in finding.summary and "5.0e-04" in finding.summary
    assert finding.severity is Severity.MINOR


def test_a_single_step_that_outweighs_the_weights_is_worse(findings_of):
    [finding] = findings_of("unfit_learning_rate", altered(HEALTHY, {"learning.recipe.share": 21.0}))
    assert "adds 21 times the norm" in finding.summary
    assert finding.severity is Severity.MAJOR


def test_a_run_that_moves_the_model_is_silent(findings_of):
    assert findings_of("unfit_learning_rate", HEALTHY) == ()


def test_a_trainer_of_the_users_own_is_not_judged_by_the_yaml(outcome_of):
    facts = altered(SICK, {"learning.recipe": Unknown(reason="the trainer is your own")})
    assert isinstance(outcome_of("unfit_learning_rate", facts), Skipped)


def test_a_trial_of_two_steps_at_a_usual_rate_is_silent(findings_of):
    assert findings_of("unfit_learning_rate", altered(SICK, {"learning.recipe.change": 7e-3}))
    trial = {"learning.recipe.change": 7e-3, "learning.recipe.peak": 5e-5}
    assert findings_of("unfit_learning_rate", altered(SICK, trial)) == ()


def test_what_adapters_drawn_at_random_differ_by_decides_nothing_in_a_trial(findings_of):
    drawn = {"learning.recipe.change": 2.6e-3, "learning.recipe.peak": 5e-5}
    assert findings_of("unfit_learning_rate", altered(SICK, drawn | {"learning.recipe.steps": 2})) == ()
    assert findings_of("unfit_learning_rate", altered(SICK, drawn))
    assert findings_of(
        "unfit_learning_rate", altered(SICK, drawn | {"learning.recipe.steps": 2, "learning.recipe.change": 5e-4})
    )
