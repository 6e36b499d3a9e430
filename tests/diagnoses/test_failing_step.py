from tests.specimens import altered
from tests.specimens.failing_step import SICK


def test_a_step_that_raises_is_quoted_with_its_line(findings_of):
    [finding] = findings_of("failing_step", SICK)
    assert "graph a second time" in finding.summary and "trainer.py:40" in finding.summary


def test_an_exception_that_forward_raised_before_is_silent(findings_of):
    again = altered(SICK, {"forward.given": SICK.learning.training})
    assert findings_of("failing_step", again) == ()
