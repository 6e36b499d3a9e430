import pytest

from preflight_ocr.harness.facts import Raised
from preflight_ocr.harness.judging.findings import Skipped
from tests.specimens import altered
from tests.specimens.failing_on_card import RAISED, SICK
from tests.specimens.healthy import ON_CARD


def test_two_devices_name_the_line_what_stayed_behind_and_what_to_write(findings_of):
    [finding] = findings_of("failing_on_card", SICK)
    assert "cuda:0 and cpu" in finding.summary and "modeling_deepseekv2.py:88" in finding.summary
    assert finding.evidence == ("batch images_spatial_crop [2, 2] is on cpu",)
    assert "device=input_ids.device" in finding.fix.instruction
    assert finding.places == (RAISED.site,)


def test_another_exception_gets_another_advice(findings_of):
    raised = Raised(type="NotImplementedError", message="'aten::scatter' is not implemented for this device", site=None)
    facts = altered(SICK, {f"accelerator.precisions.{number}.step": raised for number in range(3)})
    [finding] = findings_of("failing_on_card", facts)
    assert "no kernel" in finding.fix.instruction


def test_a_card_that_is_full_is_no_fault_of_the_model(outcome_of):
    raised = Raised(type="OutOfMemoryError", message="CUDA out of memory. Tried to allocate 2.00 GiB.", site=None)
    facts = altered(SICK, {"accelerator.precisions.0.step": raised})
    assert isinstance(outcome_of("failing_on_card", facts), Skipped)


@pytest.mark.parametrize("field", ["training", "mixed_precision"])
def test_what_fails_on_the_cpu_in_the_same_way_is_not_the_cards(outcome_of, field):
    facts = altered(SICK, {f"learning.{field}": RAISED})
    outcome = outcome_of("failing_on_card", facts)
    assert isinstance(outcome, Skipped) and "on the CPU" in outcome.reason


def test_generate_is_held_against_the_cpu(findings_of):
    facts = altered(ON_CARD, {"accelerator.generation": RAISED})
    [finding] = findings_of("failing_on_card", facts)
    assert "generate" in finding.summary
    assert not findings_of("failing_on_card", altered(facts, {"forward.generation": RAISED}))
