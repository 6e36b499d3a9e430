from tests.specimens import HEALTHY, altered
from tests.specimens.misaligned_save_steps import SICK


def test_save_steps_that_miss_the_evaluated_steps_are_reported(findings_of):
    [finding] = findings_of("misaligned_save_steps", SICK)
    assert "save_steps 500 is not a multiple of eval_steps 200" in finding.summary
    assert "save_steps: 200" in finding.fix.snippet


def test_loading_the_best_model_without_evaluation_is_reported(findings_of):
    [finding] = findings_of("misaligned_save_steps", altered(HEALTHY, {"configuration.eval_strategy": "no"}))
    assert "'no'" in finding.summary
    assert "eval_strategy: steps" in finding.fix.snippet


def test_epochs_on_both_sides_are_silent_whatever_the_steps(findings_of):
    changes = {"configuration.save_strategy": "epoch", "configuration.eval_strategy": "epoch"}
    assert findings_of("misaligned_save_steps", altered(SICK, changes)) == ()
