from preflight_ocr.harness.facts import Origin, Raised
from preflight_ocr.harness.judging.findings import Skipped
from tests.specimens import altered
from tests.specimens.unregistered_tensor import HEALTHY, SICK


def test_the_attribute_is_named_and_the_fix_registers_it(findings_of):
    [finding] = findings_of("unregistered_tensor", SICK)
    assert finding.summary.startswith("model.projector.scale, int64 [24], a plain attribute")
    assert finding.fix.snippet == 'self.register_buffer("scale", scale, persistent=False)'
    assert "modeling_deepseekocr.py:62" in finding.evidence[0]


def test_a_global_is_told_apart(findings_of):
    sick = altered(
        SICK,
        {"forward.placement.clashes.0.stray.origin": Origin(kind="global", name="modeling.MEAN", site=None, call="")},
    )
    [finding] = findings_of("unregistered_tensor", sick)
    assert "a global tensor" in finding.summary
    assert finding.fix.snippet == "MEAN.to(hidden_states.device)"


def test_what_forward_made_itself_is_somebody_elses(findings_of):
    origin = Origin(kind="made", call="zeros", name="", site=None)
    assert findings_of("unregistered_tensor", altered(SICK, {"forward.placement.clashes.0.stray.origin": origin})) == ()


def test_a_simulation_that_did_not_end_decides_nothing(outcome_of):
    ended = Raised(type="RuntimeError", message="no such kernel", site=None)
    assert isinstance(outcome_of("unregistered_tensor", altered(HEALTHY, {"forward.placement.ended": ended})), Skipped)
