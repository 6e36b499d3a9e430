from preflight_ocr.harness.facts import Raised
from preflight_ocr.harness.judging.findings import Skipped
from tests.specimens import altered
from tests.specimens.unusable_card import SICK

OLD = "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU driver."


def test_a_build_without_cuda_is_told_with_the_card(findings_of):
    [finding] = findings_of("unusable_card", SICK)
    assert "NVIDIA L4" in finding.summary and "not compiled with CUDA" in finding.summary
    assert "build of torch for CUDA" in finding.fix.instruction


def test_an_old_driver_gets_its_own_advice(findings_of):
    facts = altered(SICK, {"device.refused": Raised(type="RuntimeError", message=OLD, site=None)})
    [finding] = findings_of("unusable_card", facts)
    assert finding.fix.instruction.startswith("Update the driver")


def test_the_kernels_of_a_torch_without_cuda_are_not_judged(outcome_of):
    assert outcome_of("missing_kernels", SICK) == Skipped("torch cannot use the card at all")
