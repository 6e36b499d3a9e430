import pytest

from tests.specimens import HEALTHY, altered
from tests.specimens.hard_coded_device import CARD, SICK


def test_a_model_spread_over_cards_is_reported_with_the_line_that_names_one(findings_of):
    [finding] = findings_of("hard_coded_device", SICK)
    assert "over 2 cards" in finding.summary
    assert "modeling_deepseekocr.py:210" in finding.evidence[0]


def test_a_run_kept_on_the_cpu_beside_a_card_is_reported(findings_of):
    [finding] = findings_of("hard_coded_device", altered(HEALTHY, {"environment.cards": (CARD,)}))
    assert "use_cpu" in finding.summary


@pytest.mark.parametrize("placed", ["cuda:1", "cuda:0, cuda:1", "cpu, cuda:0"])
def test_a_map_that_names_another_device_is_reported(findings_of, placed):
    assert findings_of("hard_coded_device", altered(SICK, {"configuration.device_map": placed}))


@pytest.mark.parametrize("placed", [None, "cuda:0", "cuda"])
def test_a_model_on_card_0_is_silent(findings_of, placed):
    assert findings_of("hard_coded_device", altered(SICK, {"configuration.device_map": placed})) == ()


def test_a_machine_without_a_card_is_silent(findings_of):
    assert HEALTHY.configuration.use_cpu
    assert findings_of("hard_coded_device", HEALTHY) == ()
