"""Other people's code, planted: what is healthy stays without a finding, what is a defect is named by its root cause."""

from __future__ import annotations

import pytest
import transformers

from preflight_ocr.fixtures.corpus import find_patterns
from preflight_ocr.fixtures.corpus.cases import find_pattern_cases
from preflight_ocr.fixtures.corpus.plant import find_obstacle
from preflight_ocr.harness.commands.corpus.trials import is_pattern

FAST = "qwen2_vl"
CASES = [case for case in find_pattern_cases() if case.obstacle is None]
PATTERNS = {pattern.id: pattern for pattern in find_patterns()}


DEAR = ("for-09", "for-15", "for-24")
"""Patterns that only a dear model can have."""


def is_slow(fault: str, model: str) -> bool:
    """One model stands for all, and for a pattern that it cannot have the first one that can; one form for its like."""
    if fault.startswith("for-19-") and fault != "for-19-jsonl":
        return True
    models = [case.model for case in CASES if case.fault == fault]
    return fault in DEAR or model != (FAST if FAST in models else models[0])


QUICK = ("for-02", "for-06-json", "for-16", "for-21-end", "for-26")
"""They are planted in every run of the tests; the other patterns have a command of their own, `pytest -m each_fault`."""


def choose_marks(fault: str, model: str) -> list[pytest.MarkDecorator]:
    if is_slow(fault, model):
        return [pytest.mark.slow]
    return [] if fault in QUICK else [pytest.mark.slow, pytest.mark.each_fault]


PARAMETERS = [
    pytest.param(case, id=f"{case.model}-{case.fault}", marks=choose_marks(case.fault, case.model)) for case in CASES
]


@pytest.mark.parametrize("case", PARAMETERS)
def test_a_pattern_has_no_finding_but_its_defect(case, plant):
    (trial,) = plant(case.model, (case.fault,))
    said = f"{PATTERNS[case.fault].plant} in {case.model}: missed {trial.missed}, extra {trial.extra}"
    assert trial.is_exact, said


def test_every_pattern_has_a_model_to_be_planted_in():
    assert {case.fault for case in find_pattern_cases()} == set(PATTERNS)
    # Some say themselves which environment or package they need; older releases lack the only model of others.
    lacking = {fault for fault, pattern in PATTERNS.items() if not find_obstacle(pattern)} - {c.fault for c in CASES}
    assert lacking == set() or transformers.__version__.startswith("4."), lacking


def test_patterns_are_told_from_planted_faults_by_their_room():
    assert is_pattern("for-01") and not is_pattern("chain-16")
