from preflight_ocr.harness.facts import Raised
from preflight_ocr.harness.isolation.closing import CLOSED_BY_US
from preflight_ocr.harness.judging.findings import Skipped
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered
from tests.specimens.failing_collator import SICK


def test_a_collator_that_raises_is_quoted_with_its_line(findings_of):
    [finding] = findings_of("failing_collator", SICK)
    assert "KeyError: 'image'" in finding.summary
    assert "collate.py:8" in finding.summary


def test_a_collator_that_returns_a_batch_is_silent(findings_of):
    assert findings_of("failing_collator", RUN) == ()


def test_what_a_check_closes_is_skipped_with_what_to_do_and_no_crash_of_the_collators(outcome_of):
    said = "a check lets your code write only below a folder of its own, and /data/cache is outside of it"
    closed = Raised(type=CLOSED_BY_US, message=said, site=None)
    assert outcome_of("failing_collator", altered(RUN, {"collator.batch": closed})) == Skipped(said)
    assert outcome_of("failing_batch", altered(RUN, {"forward.given": closed})) == Skipped(said)
    assert outcome_of("failing_forward", altered(RUN, {"forward.reference": closed})) == Skipped(said)
    assert outcome_of("failing_step", altered(RUN, {"learning.training": closed})) == Skipped(said)
    assert outcome_of("failing_adapter", altered(RUN, {"adapter.raised": closed})) == Skipped(said)
    assert outcome_of("unloadable_model", altered(RUN, {"forward.loading": closed})) == Skipped(said)
