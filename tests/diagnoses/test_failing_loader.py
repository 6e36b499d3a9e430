from preflight_ocr.harness.judging.findings import Severity, Skipped
from tests.specimens import altered
from tests.specimens.failing_loader import RAISED, SICK
from tests.specimens.healthy import ON_CARD


def test_a_worker_that_asks_for_the_card_is_quoted_with_its_line(findings_of):
    [finding] = findings_of("failing_loader", SICK)
    assert finding.severity is Severity.BLOCKER
    assert "with 2 workers, pinned," in finding.summary and "user_parts.py:31" in finding.summary


def test_workers_that_nobody_asked_for_are_minor(findings_of):
    [finding] = findings_of("failing_loader", altered(ON_CARD, {"accelerator.loaders.1.ended": RAISED}))
    assert finding.severity is Severity.MINOR


def test_one_exception_is_one_finding(findings_of):
    facts = altered(ON_CARD, {f"accelerator.loaders.{number}.ended": RAISED for number in range(2)})
    [finding] = findings_of("failing_loader", facts)
    assert finding.severity is Severity.BLOCKER and "without workers" in finding.summary


def test_a_collator_that_fails_anyway_is_told_elsewhere(outcome_of):
    assert isinstance(outcome_of("failing_loader", altered(SICK, {"collator.batch": RAISED})), Skipped)
