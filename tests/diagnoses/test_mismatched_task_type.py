from fixtures.specimens import HEALTHY as RUN
from fixtures.specimens import altered
from fixtures.specimens.mismatched_task_type import SICK
from harness.facts import Unknown
from harness.findings import Skipped


def test_a_task_type_that_adds_unknown_keywords_is_reported_with_the_one_that_fits(findings_of):
    [finding] = findings_of("mismatched_task_type", SICK)
    assert "SEQ_2_SEQ_LM" in finding.summary and "`decoder_input_ids`" in finding.summary
    assert finding.fix.snippet == "lora: {task_type: CAUSAL_LM}"


def test_keywords_that_forward_takes_are_silent(findings_of):
    assert findings_of("mismatched_task_type", RUN) == ()


def test_an_adapter_that_was_not_built_is_skipped_not_passed(outcome_of):
    blind = altered(SICK, {"adapter": Unknown(reason="could not be looked at")})
    assert outcome_of("mismatched_task_type", blind) == Skipped("could not be looked at")
