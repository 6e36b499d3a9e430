from preflight_ocr.harness.facts import Raised
from tests.specimens import altered
from tests.specimens.wrapped_before_adapter import HEALTHY, SICK


def test_an_adapter_around_a_wrapper_is_reported_with_a_key(findings_of):
    [finding] = findings_of("wrapped_before_adapter", SICK)
    assert "KeywordFilter" in finding.summary
    assert finding.evidence == ("key: base_model.model.model.model.layers.0.self_attn.q_proj.lora_A.weight",)


def test_a_wrapper_around_the_adapter_is_silent(findings_of):
    assert findings_of("wrapped_before_adapter", HEALTHY) == ()


def test_an_adapter_that_was_refused_for_another_reason_lies_nowhere_yet(outcome_of):
    refused = altered(
        HEALTHY, {"adapter.raised": Raised(type="ValueError", message="Target modules not found", site=None)}
    )
    assert "Target modules not found" in outcome_of("wrapped_before_adapter", refused).reason
