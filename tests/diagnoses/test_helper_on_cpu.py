import msgspec
import pytest

from preflight_ocr.harness.facts import Raised, Site, Undecided
from preflight_ocr.harness.judging.findings import Severity, Skipped
from tests.specimens import altered
from tests.specimens.helper_on_cpu import CLASH, HEALTHY, MADE, SICK


def test_the_tensor_is_named_with_its_shape_its_line_and_what_it_meets(findings_of):
    [finding] = findings_of("helper_on_cpu", SICK)
    assert "int64 [24] on the CPU (indices of embedding)" in finding.summary
    assert "modeling_deepseekocr.py:61" in finding.summary and "model.places.weight" in finding.summary
    assert "modeling_deepseekocr.py:62" in finding.evidence[0]
    assert [site.line for site in finding.places] == [61, 62]


def test_the_fix_is_the_line_with_a_device_in_it(findings_of):
    [finding] = findings_of("helper_on_cpu", SICK)
    assert finding.fix.snippet.startswith("places = torch.arange(hidden_states.shape[1], device=input_ids.device)")


def test_a_line_whose_call_ends_elsewhere_is_not_rewritten(findings_of):
    site = Site(file="modeling.py", line=3, code="places = torch.arange(", kind="", runs=None)
    sick = altered(SICK, {"forward.placement.clashes.0.stray.origin.site": site})
    [finding] = findings_of("helper_on_cpu", sick)
    assert finding.fix.snippet == "stray = stray.to(input_ids.device)"


def test_one_tensor_that_is_mixed_twice_is_one_finding(findings_of):
    again = msgspec.structs.replace(
        CLASH, operation="add", site=Site(file="m.py", line=70, code="x + places", kind="", runs=None)
    )
    [finding] = findings_of("helper_on_cpu", altered(SICK, {"forward.placement.clashes": (CLASH, again)}))
    assert len(finding.evidence) == 2


def test_two_tensors_are_two_findings(findings_of):
    origin = msgspec.structs.replace(
        MADE, site=Site(file="m.py", line=9, code="torch.zeros(3)", kind="", runs=None), call="zeros"
    )
    other = msgspec.structs.replace(CLASH, stray=msgspec.structs.replace(CLASH.stray, origin=origin))
    assert len(findings_of("helper_on_cpu", altered(SICK, {"forward.placement.clashes": (CLASH, other)}))) == 2


def test_a_tensor_brought_to_the_cpu_is_said_to_have_been_brought_there(findings_of):
    sick = altered(SICK, {"forward.placement.clashes.0.stray.origin.kind": "moved"})
    [finding] = findings_of("helper_on_cpu", sick)
    assert "brought to the CPU at" in finding.summary


def test_a_run_that_stays_on_the_cpu_is_told_that_it_is_fragile(findings_of):
    [finding] = findings_of("helper_on_cpu", altered(SICK, {"configuration.use_cpu": True}))
    assert finding.severity is Severity.MINOR


@pytest.mark.parametrize(
    "change",
    [
        {
            "forward.placement.ended": Raised(
                type="AssertionError", message="Torch not compiled with CUDA enabled", site=None
            )
        },
        {"forward.placement.undecided": (Undecided(operation="fold", site=None, reason="not known whether"),)},
    ],
)
def test_what_the_simulation_could_not_decide_is_skipped_with_its_reason(outcome_of, change):
    outcome = outcome_of("helper_on_cpu", altered(HEALTHY, change))
    assert isinstance(outcome, Skipped)
    assert "CUDA enabled" in outcome.reason or "fold" in outcome.reason
