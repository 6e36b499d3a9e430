from preflight_ocr.harness.diagnoses.synchronising_forward import USUAL
from preflight_ocr.harness.facts import Unknown
from preflight_ocr.harness.judging.findings import Severity, Skipped
from tests.specimens import altered
from tests.specimens.healthy import ON_CARD
from tests.specimens.synchronising_forward import SICK


def test_the_lines_are_named_with_how_often(findings_of):
    [finding] = findings_of("synchronising_forward", SICK)
    assert finding.severity is Severity.MINOR
    assert "708 times" in finding.summary
    assert finding.evidence[1] == "704 times modeling_deepseekv2.py:180: tokens[chosen == index]"


def test_as_many_as_are_usual_are_silent(findings_of):
    facts = altered(ON_CARD, {"accelerator.waits.0.times": 0, "accelerator.waits.1.times": USUAL})
    assert not findings_of("synchronising_forward", facts)
    assert findings_of("synchronising_forward", altered(facts, {"accelerator.waits.0.times": 1}))


def test_what_was_not_counted_is_skipped(outcome_of):
    facts = altered(ON_CARD, {"accelerator.waits": Unknown(reason="forward raised")})
    assert outcome_of("synchronising_forward", facts) == Skipped("forward raised")
