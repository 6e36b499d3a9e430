from preflight_ocr.harness.judging.findings import Skipped
from tests.specimens import altered
from tests.specimens.healthy import ON_CARD
from tests.specimens.unsupported_attention import RAISED, SICK


def test_the_one_that_works_is_what_to_write(findings_of):
    [finding] = findings_of("unsupported_attention", SICK)
    assert "No available kernel" in finding.summary
    assert finding.fix.snippet == "model:\n  attn_implementation: eager"


def test_one_that_computes_something_else_does_not_work_either(findings_of):
    [finding] = findings_of("unsupported_attention", altered(ON_CARD, {"accelerator.attention.0.difference": 0.5}))
    assert "differ from the CPU's by 0.5" in finding.summary


def test_where_none_works_it_is_not_the_attention(findings_of):
    changes = {f"accelerator.attention.{number}.ended": RAISED for number in range(2)}
    assert not findings_of("unsupported_attention", altered(ON_CARD, changes))


def test_a_model_that_does_not_say_what_it_uses_is_skipped(outcome_of):
    facts = altered(ON_CARD, {"accelerator.attention.0.is_used": False})
    assert outcome_of("unsupported_attention", facts) == Skipped(
        "neither the configuration nor the model says which attention is used"
    )
