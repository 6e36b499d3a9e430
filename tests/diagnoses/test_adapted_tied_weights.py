from tests.specimens.adapted_tied_weights import HEALTHY, SICK


def test_an_adapter_on_a_tied_head_is_reported_by_name(findings_of):
    [finding] = findings_of("adapted_tied_weights", SICK)
    assert finding.evidence == ("lm_head",)
    assert finding.fix.snippet == "lora: {target_modules: [q_proj, v_proj]}"


def test_tied_weights_nobody_adapts_are_silent(findings_of):
    assert findings_of("adapted_tied_weights", HEALTHY) == ()
