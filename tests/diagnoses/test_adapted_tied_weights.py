import yaml

from tests.specimens import altered
from tests.specimens.adapted_tied_weights import HEALTHY, SICK


def test_an_adapter_on_a_tied_head_is_reported_by_name(findings_of):
    [finding] = findings_of("adapted_tied_weights", SICK)
    assert finding.evidence == ("lm_head",)
    assert finding.fix.snippet == "lora: {target_modules: [q_proj, v_proj]}"


def test_tied_weights_nobody_adapts_are_silent(findings_of):
    assert findings_of("adapted_tied_weights", HEALTHY) == ()


def test_the_list_of_lra007_leaves_the_tied_module_out(findings_of):
    tied = altered(HEALTHY, {"adapter.on_tied_weights": ("base_model.model.q_proj.base_layer",)})
    [finding] = findings_of("adapted_tied_weights", tied)
    targets = yaml.safe_load(finding.fix.snippet)["lora"]["target_modules"]
    assert "q_proj" not in targets and targets
    assert "Take q_proj out" in finding.fix.instruction
