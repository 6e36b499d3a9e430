"""The verdict: never better for less that is known."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preflight_ocr.harness.facts import Facts, Unknown
from preflight_ocr.harness.facts.base import Cause
from preflight_ocr.harness.judging.findings import Broken, Kept, NotApplicable, Severity, Skipped
from preflight_ocr.harness.verdict import decision
from preflight_ocr.harness.verdict.contracts import derive, judge, judge_all
from preflight_ocr.harness.verdict.report import Report
from tests.specimens import HEALTHY, altered

ORDER = ("clear", "partial", "blind", "refused")  # the better first
SICK = altered(HEALTHY, {"collator.batch.rows.0.trained": "1" * 19, "configuration.warmup_steps": 500})


def _list_paths(here: object, path: str = "") -> list[str]:
    """Every place in the facts where an Unknown may stand instead."""
    if not isinstance(here, msgspec.Struct):
        return []
    found = []
    for field in msgspec.structs.fields(type(here)):
        inner = f"{path}.{field.name}" if path else field.name
        value = getattr(here, field.name)
        if "Unknown" in str(field.type) and not isinstance(value, Unknown):
            found.append(inner)
        found += _list_paths(value, inner)
    return found


PATHS = _list_paths(HEALTHY)
LOSSES = st.dictionaries(
    st.sampled_from(PATHS),
    st.builds(Unknown, reason=st.just("lost"), cause=st.sampled_from(get_args(Cause))),
    min_size=1,
    max_size=8,
)


def _lose(facts: Facts, losses: dict[str, Unknown]) -> Facts:
    # The deepest first: a section that is gone has no field to lose.
    return altered(facts, {path: losses[path] for path in sorted(losses, key=lambda path: -path.count("."))})


def _report(facts: Facts, level: decision.Level = "ran") -> Report:
    return Report.build(facts, judge_all(derive(facts), facts), config="run.yaml", level=level)


@settings(max_examples=80, deadline=None)
@given(losses=LOSSES, level=st.sampled_from(("read", "ran", "gpu")))
def test_the_verdict_of_a_healthy_run_is_never_better_for_less_that_is_known(losses, level):
    before, after = _report(HEALTHY, level), _report(_lose(HEALTHY, losses), level)
    assert ORDER.index(after.verdict) >= ORDER.index(before.verdict)
    assert after.verdict != "clear" or not any(loss.died and "." not in path for path, loss in losses.items())


@settings(max_examples=40, deadline=None)
@given(losses=LOSSES)
def test_no_loss_turns_a_refused_run_into_a_clear_one(losses):
    """A BLOCKER whose facts are gone may no longer be found; the run is then blind, or clear of it by what was seen."""
    after = _report(_lose(SICK, losses))
    broken = {j.contract.diagnosis.code for j in _report(SICK).judgements if isinstance(j.outcome, Broken)}
    still = {j.contract.diagnosis.code: j.outcome for j in after.judgements if j.contract.diagnosis.code in broken}
    assert not [code for code, outcome in still.items() if isinstance(outcome, Kept)]


def test_a_healthy_run_is_clear_and_reading_it_alone_is_not():
    assert (_report(HEALTHY).verdict, _report(HEALTHY).exit_code) == ("clear", 0)
    read = _report(HEALTHY, "read")
    assert (read.verdict, read.exit_code) == ("partial", 0)
    assert read.headline.startswith("NOTHING FOUND BY READING")
    assert "CLEAR" not in read.headline


def test_a_major_is_said_in_amber_and_never_beside_the_word_clear(make_report, judge, find_fault, essentials):
    fault = find_fault("LBL002", "unmasked_prompt", Severity.MAJOR)
    report = make_report((*essentials, judge("LBL002", "unmasked_prompt", Broken((fault,)))))
    assert (report.headline, report.tone, report.exit_code) == ("1 MAJOR", "major", 11)


@pytest.mark.parametrize("name", decision.ESSENTIAL["ran"])
def test_an_essential_contract_that_was_not_looked_at_is_blind(make_report, essentials, judge, name):
    def skip(judgement):
        return msgspec.structs.replace(judgement, outcome=Skipped("lost on the way"))

    judged = [skip(j) if j.contract.diagnosis.name == name else j for j in essentials]
    report = make_report(tuple(judged))
    assert (report.verdict, report.exit_code) == ("blind", 3)
    assert "lost on the way" in report.blind


def test_a_child_that_died_is_blind_though_every_contract_is_kept(make_report, essentials):
    facts = altered(HEALTHY, {"memory": Unknown(reason="foreign code died", cause="foreign code died")})
    assert make_report(essentials, facts=facts).verdict == "blind"


def test_some_contracts_alone_are_never_clear(make_report, judge):
    report = make_report((judge("CFG001", "unknown_key", Kept()),))
    assert (report.verdict, report.exit_code) == ("partial", 0)
    assert report.headline == "NOTHING FOUND IN WHAT WAS ASKED FOR"


def test_what_does_not_apply_is_an_outcome_with_its_reason():
    [contract] = derive(HEALTHY, only=["swallowed_inputs"])
    outcome = judge(contract, HEALTHY)
    assert outcome == NotApplicable("it is a matter only where a module of your own is wrapped around the model")


def test_facts_that_nobody_filled_keep_nothing():
    facts = Facts()
    assert not [j.contract.id for j in judge_all(derive(facts), facts) if isinstance(j.outcome, Kept)]


def test_every_essential_contract_is_in_the_catalogue():
    known = {contract.diagnosis.name for contract in derive(HEALTHY)}
    assert {name for names in decision.ESSENTIAL.values() for name in names} <= known


def test_the_table_for_the_docs_has_every_rule():
    rows = decision.list_rules()
    assert len(rows) == len(decision.RULES)
    assert {verdict for _, verdict, _ in rows} == set(decision.MEANINGS)
