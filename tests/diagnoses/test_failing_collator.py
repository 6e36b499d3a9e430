from tests.specimens import HEALTHY as RUN
from tests.specimens.failing_collator import SICK


def test_a_collator_that_raises_is_quoted_with_its_line(findings_of):
    [finding] = findings_of("failing_collator", SICK)
    assert "KeyError: 'image'" in finding.summary
    assert "collate.py:8" in finding.summary


def test_a_collator_that_returns_a_batch_is_silent(findings_of):
    assert findings_of("failing_collator", RUN) == ()
