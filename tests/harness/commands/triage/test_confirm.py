"""With a CONFIG, the contracts have the last word."""

from __future__ import annotations

import importlib
import io

from preflight_ocr.harness.commands.triage import confirm, diagnose
from preflight_ocr.harness.facts import Unknown
from preflight_ocr.harness.verdict.contracts import derive, judge_all
from tests.specimens import HEALTHY, altered

MISALIGNED = {
    "configuration.load_best_model_at_end": True,
    "configuration.eval_strategy": "steps",
    "configuration.save_steps": 500,
    "configuration.eval_steps": 300,
}
MESSAGE = (
    b"ValueError: --load_best_model_at_end requires the saving steps to be a round multiple of the evaluation steps"
)


def judge(facts):
    return lambda codes: judge_all(derive(facts, only=codes), facts)


def decide(facts, message=MESSAGE):
    answer = confirm(diagnose(io.BytesIO(message)), judge(facts))
    return answer, answer.pointers[0]


def test_a_broken_contract_confirms_and_gives_its_finding():
    answer, pointer = decide(altered(HEALTHY, MISALIGNED))
    assert pointer.verdict == "confirmed"
    assert "300" in pointer.detail
    assert answer.exit_code == 12


def test_a_contract_that_holds_refutes():
    answer, pointer = decide(HEALTHY)
    assert (pointer.verdict, pointer.detail, answer.exit_code) == ("contract holds", "", 0)


def test_a_contract_that_could_not_be_looked_at_gives_the_reason():
    answer, pointer = decide(altered(HEALTHY, {"configuration": Unknown(reason="lost on the way")}))
    assert (pointer.verdict, pointer.detail, answer.exit_code) == ("could not be run", "lost on the way", 12)


def test_a_contract_that_does_not_apply_is_said_so():
    pointer = decide(HEALTHY, b"ValueError: Attempting to unscale FP16 gradients.")[1]
    assert (pointer.verdict, pointer.detail) == (
        "could not be run",
        "the contract does not apply: it is a matter only where training.fp16 is on",
    )


def test_only_the_contracts_pointed_at_are_run_and_none_for_a_stranger():
    asked = []
    confirm(diagnose(io.BytesIO(MESSAGE)), lambda codes: asked.append(codes) or ())
    confirm(diagnose(io.BytesIO(b"KeyError: 'a'")), lambda codes: asked.append(codes) or ())
    assert asked == [("CFG004",)]


def test_what_is_confirmed_stands_first_and_what_is_refuted_last():
    answer = diagnose(io.BytesIO(b"element 0 of tensors does not require grad and does not have a grad_fn"))
    name = "unmatched_targets"
    facts = importlib.import_module(f"tests.specimens.{name}").SICK
    ranked = confirm(answer, judge(facts)).pointers
    assert (ranked[0].name, ranked[0].verdict) == (name, "confirmed")
    order = ["confirmed", "could not be run", "contract holds"]
    assert [p.verdict for p in ranked] == sorted((p.verdict for p in ranked), key=order.index)
    assert {p.name for p in ranked} == {p.name for p in answer.pointers}


def test_every_possible_cause_is_asked_about():
    asked = []
    answer = diagnose(io.BytesIO(b"element 0 of tensors does not require grad and does not have a grad_fn"))
    confirm(answer, lambda codes: asked.extend(codes) or ())
    assert asked == ["LRA004", "LRA002", "LRN001"]
