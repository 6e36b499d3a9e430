from __future__ import annotations

from preflight_ocr.harness.judging.findings import NotApplicable
from preflight_ocr.harness.verdict.contracts import derive, judge
from tests.specimens import altered
from tests.specimens.forwarded_loss_keyword import HEALTHY, SICK


def test_the_wrapper_the_keyword_and_the_model_that_refuses_it_are_named(findings_of):
    (finding,) = findings_of("forwarded_loss_keyword", SICK)
    for name in ("Wrapped", "num_items_in_batch", "DeepseekOCRForCausalLM"):
        assert name in finding.summary


def test_a_wrapper_that_keeps_the_keyword_to_itself_is_no_fault(findings_of):
    assert not findings_of("forwarded_loss_keyword", HEALTHY)


def test_without_a_wrapper_there_is_no_contract():
    bare = altered(HEALTHY, {"forward.wrapper": None})
    [contract] = derive(bare, only=["forwarded_loss_keyword"])
    assert isinstance(judge(contract, bare), NotApplicable)
