import msgspec
import pytest

from preflight_ocr.harness.judging.findings import Severity
from tests.specimens import altered
from tests.specimens.batch_on_card import SICK as RETURNED
from tests.specimens.helper_on_cpu import CLASH
from tests.specimens.named_card import HEALTHY, SICK


def test_the_line_is_named_and_the_fix_takes_the_device_from_a_tensor(findings_of):
    [finding] = findings_of("named_card", SICK)
    assert finding.summary.startswith("wrapper.py:12 names a card in forward")
    assert finding.fix.snippet == "weights = torch.ones(n).to(input_ids.device)"
    assert finding.severity is Severity.MINOR, "fragile, while there is one card"


@pytest.mark.parametrize("change", [{"configuration.world_size": 2}, {"configuration.device_map": "auto"}])
def test_with_more_than_one_card_it_is_worse(findings_of, change):
    [finding] = findings_of("named_card", altered(SICK, change))
    assert finding.severity is Severity.MAJOR


def test_in_a_worker_of_the_data_loader_it_blocks(findings_of):
    changes = {"forward.placement.named.0.during": "collator", "configuration.dataloader_workers": 2}
    [finding] = findings_of("named_card", altered(SICK, changes))
    assert finding.severity is Severity.BLOCKER
    assert "in the collator" in finding.summary


def test_the_models_own_code_is_somebody_elses(findings_of):
    assert findings_of("named_card", HEALTHY) == ()


def test_a_line_whose_tensors_are_returned_is_not_reported_twice(findings_of):
    assert findings_of("named_card", RETURNED) == ()


def test_a_tensor_that_meets_others_on_another_card_blocks(findings_of):
    stray = msgspec.structs.replace(CLASH.stray, device="cuda:1")
    met = msgspec.structs.replace(CLASH, stray=stray)
    [finding] = findings_of("named_card", altered(SICK, {"forward.placement.clashes": (met,)}))
    assert finding.severity is Severity.BLOCKER
    assert "cuda:1" in finding.evidence[-1]
