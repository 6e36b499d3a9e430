"""When the simulated accelerator decides nothing, each diagnosis of placement says so and none says Kept."""

from __future__ import annotations

import pytest

from preflight_ocr.harness.facts import Raised, Undecided, Unknown
from preflight_ocr.harness.judging.findings import Kept, Skipped
from preflight_ocr.harness.verdict.contracts import derive, judge_all
from tests.specimens import HEALTHY, altered

SIMULATED = (
    "DEV003",
    "DEV004",
    "DEV006",
    "DEV007",
)  # what is moved, and what the collator returns, is seen before forward
RAISED = Raised(type="RuntimeError", message="no such kernel", site=None)


def judge(**changed):
    facts = altered(HEALTHY, {f"forward.placement.{name}": value for name, value in changed.items()})
    return {j.contract.diagnosis.code: j.outcome for j in judge_all(derive(facts, only=SIMULATED), facts)}


def test_a_simulation_that_came_to_its_end_is_kept():
    assert all(isinstance(outcome, Kept) for outcome in judge().values())


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"ended": RAISED}, "no such kernel"),
        ({"in_training": RAISED}, "in training mode"),
        ({"in_training": Unknown(reason="not run: too large")}, "not run: too large"),
        ({"undecided": (Undecided(operation="odd", site=None, reason="not known"),)}, "odd"),
    ],
)
def test_one_that_did_not_or_left_an_operation_undecided_is_skipped_with_the_reason(changed, said):
    outcomes = judge(**changed)
    assert set(outcomes) == set(SIMULATED)
    for code, outcome in outcomes.items():
        assert isinstance(outcome, Skipped) and said in outcome.reason, (code, outcome)
