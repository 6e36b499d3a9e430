"""With a CONFIG beside the text: the contracts of the diagnoses pointed at, run to see which of them are broken."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec

from preflight_ocr.harness.commands.triage.answer import Pointer, TriageAnswer, Verdict
from preflight_ocr.harness.judging.findings import Broken, Crashed, Kept, NotApplicable, Outcome, Skipped
from preflight_ocr.harness.verdict.contracts import Judgement

NO_CONTRACT = "this diagnosis has no contract yet"
NOT_DERIVED = "the contract makes no sense for this model"


def list_contracts(answer: TriageAnswer) -> tuple[str, ...]:
    """The codes that are to be judged to confirm this answer."""
    return tuple(dict.fromkeys(pointer.code for pointer in answer.pointers if pointer.code))


def confirm(answer: TriageAnswer, judge: Callable[[tuple[str, ...]], Iterable[Judgement]]) -> TriageAnswer:
    """The answer with a verdict on every pointer. `judge` runs the contracts with these codes; it is not called for none."""
    codes = list_contracts(answer)
    outcomes = {j.contract.diagnosis.code: j.outcome for j in judge(codes)} if codes else {}
    recognised = (
        msgspec.structs.replace(one, pointers=_rank(_decide(pointer, outcomes) for pointer in one.pointers))
        for one in answer.recognised
    )
    return msgspec.structs.replace(answer, recognised=tuple(recognised))


def _rank(pointers: Iterable[Pointer]) -> tuple[Pointer, ...]:
    """What was confirmed first, what was refuted last, and else as likely as before."""
    order = ("confirmed", "could not be run", "not asked", "contract holds")
    return tuple(sorted(pointers, key=lambda pointer: order.index(pointer.verdict)))


def _decide(pointer: Pointer, outcomes: Mapping[str, Outcome]) -> Pointer:
    if pointer.code is None:
        verdict, detail = _not_run(NO_CONTRACT)
    elif pointer.code not in outcomes:
        verdict, detail = _not_run(NOT_DERIVED)
    else:
        verdict, detail = _read(outcomes[pointer.code])
    return msgspec.structs.replace(pointer, verdict=verdict, detail=detail)


def _read(outcome: Outcome) -> tuple[Verdict, str]:
    match outcome:
        case Broken(findings=findings):
            return "confirmed", findings[0].summary
        case Kept():
            return "contract holds", ""
        case Skipped(reason=reason):
            return _not_run(reason)
        case NotApplicable(reason=reason):
            return _not_run(f"the contract does not apply: {reason}")
        case Crashed(error=error):
            return _not_run(f"our own judging failed: {error}")


def _not_run(reason: str) -> tuple[Verdict, str]:
    return "could not be run", reason
