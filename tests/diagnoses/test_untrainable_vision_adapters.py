from tests.specimens.untrainable_vision_adapters import HEALTHY, SICK


def test_adapters_without_a_gradient_are_reported_with_the_name_that_put_them_there(findings_of):
    [finding] = findings_of("untrainable_vision_adapters", SICK)
    assert finding.evidence[0] == "qkv: 6 in vision"
    assert finding.fix.snippet == "lora: {target_modules: [q_proj]}"


def test_a_tower_that_gets_gradients_is_silent(findings_of):
    assert findings_of("untrainable_vision_adapters", HEALTHY) == ()
