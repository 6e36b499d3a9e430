from tests.specimens import HEALTHY, altered
from tests.specimens.missing_metric import SICK


def test_the_metric_that_is_there_is_offered(findings_of):
    [finding] = findings_of("missing_metric", SICK)
    assert "eval_cer" in finding.summary
    assert "metric_for_best_model: loss" in finding.fix.snippet


def test_an_evaluation_without_a_loss_is_told_which_key_holds_the_labels(findings_of):
    hidden = altered(HEALTHY, {"rehearsal.metrics": ("eval_runtime", "epoch")})
    [finding] = findings_of("missing_metric", hidden)
    assert "label_names" in finding.fix.snippet


def test_a_run_that_chooses_no_checkpoint_is_silent(findings_of):
    assert findings_of("missing_metric", altered(SICK, {"rehearsal.wanted_metric": None})) == ()
