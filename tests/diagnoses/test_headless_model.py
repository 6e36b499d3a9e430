from tests.specimens import altered
from tests.specimens.headless_model import HEALTHY, SICK


def test_a_model_without_a_head_is_named_with_what_it_returns(findings_of):
    [finding] = findings_of("headless_model", SICK)
    assert finding.summary.startswith(
        "Qwen2VLModel has no language-model head: its forward returns last_hidden_state, past_key_values, and neither"
    )


def test_logits_without_a_loss_are_a_head(findings_of):
    assert findings_of("headless_model", altered(SICK, {"forward.returned": ("logits",)})) == ()


def test_a_run_whose_own_step_makes_a_loss_of_what_is_returned_is_silent(findings_of):
    assert SICK.rehearsal.step != "done"
    assert findings_of("headless_model", altered(SICK, {"rehearsal.step": "done"})) == ()


def test_a_model_with_a_head_is_silent(findings_of):
    assert findings_of("headless_model", HEALTHY) == ()
