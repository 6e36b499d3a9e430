"""How a test asks one diagnosis about one specimen."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from preflight_ocr.harness.facts import Facts
from preflight_ocr.harness.judging.findings import Broken, Finding, Kept, NotApplicable, Outcome
from preflight_ocr.harness.verdict.contracts import derive, judge


@pytest.fixture
def findings_of() -> Callable[[str, Facts], tuple[Finding, ...]]:
    """(name, facts) -> its findings; none also where the contract does not apply. Fails where it was skipped."""

    def find(name: str, facts: Facts) -> tuple[Finding, ...]:
        for contract in derive(facts, only=[name]):
            outcome = judge(contract, facts)
            assert isinstance(outcome, Broken | Kept | NotApplicable), outcome
            return outcome.findings if isinstance(outcome, Broken) else ()
        return ()

    return find


@pytest.fixture
def outcome_of() -> Callable[[str, Facts], Outcome]:
    """(name, facts) -> the outcome of its contract."""

    def ask(name: str, facts: Facts) -> Outcome:
        [contract] = derive(facts, only=[name])
        return judge(contract, facts)

    return ask
