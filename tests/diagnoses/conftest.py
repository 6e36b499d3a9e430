"""How a test asks one diagnosis about one specimen."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from preflight_ocr.harness.facts import Facts
from preflight_ocr.harness.judging.findings import Broken, Finding, Kept, Outcome
from preflight_ocr.harness.verdict.contracts import derive, judge


@pytest.fixture
def findings_of() -> Callable[[str, Facts], tuple[Finding, ...]]:
    """(name, facts) -> its findings; none also where the contract does not apply. Fails where it was skipped."""

    def find(name: str, facts: Facts) -> tuple[Finding, ...]:
        for contract in derive(facts, only=[name]):
            outcome = judge(contract, facts)
            assert isinstance(outcome, Broken | Kept), outcome
            return outcome.findings if isinstance(outcome, Broken) else ()
        return ()

    return find


@pytest.fixture
def outcome_of() -> Callable[[str, Facts], Outcome | None]:
    """(name, facts) -> the outcome of its contract, or None where it does not apply."""

    def ask(name: str, facts: Facts) -> Outcome | None:
        return next((judge(contract, facts) for contract in derive(facts, only=[name])), None)

    return ask
