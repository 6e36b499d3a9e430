from preflight_ocr.harness.facts import Raised
from preflight_ocr.harness.judging.findings import Severity
from tests.specimens import HEALTHY as UNPACKED
from tests.specimens import altered
from tests.specimens.quantised_head import HEALTHY, SICK


def test_a_head_that_is_packed_is_named_with_what_to_write(findings_of):
    [finding] = findings_of("quantised_head", SICK)
    assert finding.summary == "The output head lm_head is a layer for packed weights."
    assert finding.severity is Severity.MAJOR and "lm_head" in finding.fix.snippet


def test_a_tied_head_cannot_run_at_all(findings_of):
    raised = Raised(type="AssertionError", message="", site=None)
    tied = altered(SICK, {"adapter.quantised.unpacked": ("lm_head",), "forward.reference": raised})
    [finding] = findings_of("quantised_head", tied)
    assert finding.severity is Severity.BLOCKER and "tied to the embeddings" in finding.summary


def test_a_head_that_was_left_alone_is_silent(findings_of):
    assert findings_of("quantised_head", HEALTHY) == ()
    assert findings_of("quantised_head", UNPACKED) == ()
