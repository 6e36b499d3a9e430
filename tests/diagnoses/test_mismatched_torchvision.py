from preflight_ocr.harness.facts import Import, Unknown
from preflight_ocr.harness.judging.findings import Severity
from tests.specimens import HEALTHY, altered
from tests.specimens.mismatched_torchvision import SICK


def test_builds_for_different_platforms_are_reported(findings_of):
    [finding] = findings_of("mismatched_torchvision", SICK)
    assert "torch is a cpu build and torchvision a cu128 build" in finding.summary
    assert finding.severity is Severity.MAJOR


def test_it_blocks_where_the_models_code_imports_torchvision(findings_of):
    needed = Import(
        module="torchvision.transforms",
        name="v2",
        file="deepencoder.py",
        line=3,
        conditional=False,
        status="found",
        detail="",
    )
    [finding] = findings_of("mismatched_torchvision", altered(SICK, {"repository.imports": (needed,)}))
    assert finding.severity is Severity.BLOCKER


def test_it_blocks_where_neither_processor_nor_forward_gave_an_answer(findings_of):
    reason = Unknown(reason="RuntimeError: operator torchvision::nms does not exist", cause="no answer")
    [finding] = findings_of("mismatched_torchvision", altered(SICK, {"processor": reason, "forward": reason}))
    assert finding.severity is Severity.BLOCKER


def test_a_torchvision_for_an_older_torch_is_reported(findings_of):
    changes = {"environment.packages.torchvision": "0.20.1", "environment.torchvision_wants_torch": "2.5.1"}
    [finding] = findings_of("mismatched_torchvision", altered(HEALTHY, changes))
    assert "torchvision was built for torch 2.5.1" in finding.summary


def test_two_cuda_builds_of_one_major_version_belong_together(findings_of):
    changes = {"environment.torch_build": "cu126", "environment.torchvision_build": "cu128"}
    assert findings_of("mismatched_torchvision", altered(SICK, changes)) == ()
