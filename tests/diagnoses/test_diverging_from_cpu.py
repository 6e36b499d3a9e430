from preflight_ocr.harness.facts import Unknown
from preflight_ocr.harness.judging.findings import Skipped
from tests.specimens import altered
from tests.specimens.diverging_from_cpu import SICK
from tests.specimens.healthy import ON_CARD


def test_the_difference_the_bound_and_what_agrees_are_said(findings_of):
    [finding] = findings_of("diverging_from_cpu", SICK)
    assert "0.87" in finding.summary and "0.02" in finding.summary
    assert finding.evidence[0] == "float32 weights: 0.87, 0.02 allowed"
    assert "float16 autocast" in finding.fix.instruction


def test_an_attention_that_agrees_is_what_to_use(findings_of):
    [finding] = findings_of("diverging_from_cpu", altered(SICK, {"accelerator.attention.1.difference": 0.001}))
    assert finding.fix.snippet == "model:\n  attn_implementation: sdpa"


def test_another_precision_that_is_far_off_is_not_this_runs(findings_of):
    assert not findings_of("diverging_from_cpu", altered(ON_CARD, {"accelerator.precisions.2.difference": 0.9}))


def test_without_logits_to_compare_nothing_is_kept(outcome_of):
    facts = altered(ON_CARD, {"accelerator.precisions.0.difference": Unknown(reason="forward returned no logits")})
    assert outcome_of("diverging_from_cpu", facts) == Skipped("forward returned no logits")
