import pytest

from preflight_ocr.harness.judging.findings import Skipped
from tests.specimens import altered
from tests.specimens.growing_memory import MIB, SICK
from tests.specimens.healthy import ON_CARD


def with_held(*held):
    return altered(ON_CARD, {"accelerator.held": tuple(int(h * MIB) for h in held)})


def test_the_growth_of_a_step_is_said(findings_of):
    [finding] = findings_of("growing_memory", SICK)
    assert "14.0 MiB" in finding.summary and "1.0 MiB a step" in finding.summary


@pytest.mark.parametrize(
    "held",
    [
        [40] * 20,
        [40 + step for step in range(5)] + [45] * 15,
        [40 + step % 2 * 8 for step in range(20)],
        [60 - step for step in range(20)],
        [40 + min(step, 10) for step in range(20)],
        [40 + step / 1000 for step in range(20)],
    ],
    ids=["flat", "settling", "to and fro", "falling", "filling a cache of ten", "rounding"],
)
def test_what_does_not_go_on_growing_is_silent(findings_of, held):
    assert not findings_of("growing_memory", with_held(*held))


def test_growth_in_most_steps_is_enough(findings_of):
    assert findings_of("growing_memory", with_held(*[40 + step - step // 4 for step in range(20)]))


def test_too_few_steps_say_nothing(outcome_of):
    assert isinstance(outcome_of("growing_memory", with_held(*range(40, 48))), Skipped)
