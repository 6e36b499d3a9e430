from tests.specimens import altered
from tests.specimens.untrainable_vision_adapters import HEALTHY, SICK, adapt_vision


def test_adapters_without_a_gradient_are_reported_with_the_name_that_put_them_there(findings_of):
    [finding] = findings_of("untrainable_vision_adapters", SICK)
    assert finding.evidence[0] == "qkv: 6 in vision"
    assert finding.fix.snippet == "lora: {target_modules: [q_proj]}"


def test_a_tower_that_gets_gradients_is_silent(findings_of):
    assert findings_of("untrainable_vision_adapters", HEALTHY) == ()


def test_adapters_on_what_the_vision_part_never_calls_are_nobodys_fault(findings_of):
    assert findings_of("untrainable_vision_adapters", altered(SICK, adapt_vision(with_gradient=0, unreached=6))) == ()
    [finding] = findings_of("untrainable_vision_adapters", altered(SICK, adapt_vision(with_gradient=0, unreached=2)))
    assert finding.summary.startswith("4 adapters in vision")
