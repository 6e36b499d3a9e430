from preflight_ocr.harness.facts import Raised
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered
from tests.specimens.mismatched_task_type import SICK


def test_a_task_type_that_adds_unknown_keywords_is_reported_with_the_one_that_fits(findings_of):
    [finding] = findings_of("mismatched_task_type", SICK)
    assert "SEQ_2_SEQ_LM" in finding.summary and "`decoder_input_ids`" in finding.summary
    assert finding.fix.snippet == "lora: {task_type: CAUSAL_LM}"


def test_keywords_that_forward_takes_are_silent(findings_of):
    assert findings_of("mismatched_task_type", RUN) == ()


def test_a_keyword_that_only_the_model_behind_a_forward_of_any_keyword_refuses_is_reported(findings_of):
    refused = "DonutSwinModel.forward() got an unexpected keyword argument 'input_ids'"
    changes = {
        "adapter.task_type": "SEQ_2_SEQ_LM",
        "adapter.injected": ("input_ids",),
        "learning.training": Raised(type="TypeError", message=refused, site=None),
    }
    [finding] = findings_of("mismatched_task_type", altered(RUN, changes))
    assert "`input_ids`" in finding.summary and finding.fix.snippet == "lora: {task_type: null}"
    [consequence] = findings_of("failing_step", altered(RUN, changes))
    assert "mismatched_task_type" in consequence.owners
