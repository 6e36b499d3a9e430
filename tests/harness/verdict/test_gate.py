from __future__ import annotations

import datetime
import types

import pytest

from preflight_ocr.harness.judging.findings import Basis, Broken, Finding, Fix, Kept, Severity, Skipped
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.verdict import gate
from preflight_ocr.harness.verdict.contracts import Contract, Judgement
from preflight_ocr.harness.verdict.decision import ESSENTIAL
from tests.specimens import HEALTHY

TODAY = datetime.date(2030, 1, 15)


@pytest.fixture(autouse=True)
def catalogue_of_two(monkeypatch):
    """The gate asks the catalogue for names only; two are enough."""
    modules = tuple(_module(code, name) for code, name in (("COL001", "broadcast_mask"), ("LBL002", "unmasked_prompt")))
    monkeypatch.setattr(gate, "catalogue", lambda: modules)
    monkeypatch.setattr(
        gate, "find", lambda wanted: next((m for m in modules if wanted.upper() == m.DIAGNOSIS.code), None)
    )


def _module(code, name):
    module = types.ModuleType(f"preflight_ocr.harness.diagnoses.{name}")
    module.DIAGNOSIS = Diagnosis(
        module=module.__name__, code=code, severity=Severity.BLOCKER, basis=Basis.RAN, contract=name, needs=()
    )
    return module


def _judge(code, outcome):
    return Judgement(contract=Contract(_module(code, "some_name")), outcome=outcome, seconds=0.0)


def _broken(code, severity=Severity.BLOCKER):
    fix = Fix(instruction="fix it")
    finding = Finding(code=code, name="n", severity=severity, basis=Basis.RAN, summary="s", fix=fix, docs="d")
    return _judge(code, Broken((finding,)))


ESSENTIALS = tuple(
    Judgement(contract=Contract(_module(f"ESS{number:03}", name)), outcome=Kept(), seconds=0.0)
    for number, name in enumerate(ESSENTIAL["ran"])
)


def _waiver(code, until=TODAY):
    return gate.Waiver(code=code, reason="r", link="https://example.org", until=until)


def _decide(judgements, *waivers, changed=()):
    return gate.decide(judgements, waivers, facts=HEALTHY, level="ran", today=TODAY, changed=changed)


def test_a_blocker_refuses_and_a_major_does_not():
    assert _decide([_broken("COL001")]).verdict == "refused"
    assert _decide([_broken("LBL002", Severity.MAJOR), *ESSENTIALS]).verdict == "clear"


def test_nothing_judged_is_blind():
    assert _decide([_judge("COL001", Skipped("no trust"))]).verdict == "blind"


def test_what_changed_while_it_was_checked_is_blind_and_named():
    decision = _decide([_judge("COL001", Kept())], changed=("rows", "the file masks.py"))
    assert (decision.verdict, decision.exit_code) == ("blind", 3)
    assert decision.reason.startswith("changed while it was checked: rows, the file masks.py")


def test_a_waiver_holds_until_its_last_day():
    assert _decide([_broken("COL001"), *ESSENTIALS], _waiver("COL001")).verdict == "clear"
    lapsed = _decide([_broken("COL001")], _waiver("COL001", TODAY - datetime.timedelta(days=1)))
    assert lapsed.verdict == "refused"
    assert "lapsed on 2030-01-14" in lapsed.problems[0]


def test_a_waiver_that_hits_nothing_is_reported():
    decision = _decide([_judge("COL001", Kept())], _waiver("COL001"))
    assert "waives nothing" in decision.problems[0]


def test_a_waiver_whose_contract_was_not_looked_at_is_left_alone():
    assert _decide([_judge("COL001", Skipped("no trust"))], _waiver("COL001")).problems == ()


def test_a_mistyped_waiver_names_the_nearest_diagnosis():
    decision = _decide([_broken("COL001")], _waiver("COL01"))
    assert decision.verdict == "refused"
    assert "did you mean COL001 (broadcast_mask)?" in decision.problems[0]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("- {code: COL001}", "waiver 1 (COL001) has no `reason`; every waiver says why"),
        ("- {code: COL001, reason: '', link: x, until: 2030-01-01}", "has no `reason`"),
        ("- {code: COL001, reason: r}", "has no `until`; write the last day"),
        ("- {code: COL001, reason: 3, until: 2030-01-01}", "`reason` is 3, expected text"),
        ("- COL001", "waiver 1 is 'COL001', expected a mapping"),
        ("- {code: COL001, reason: r, link: x, until: soon}", "until"),
        ("- {code: COL001, reason: r, link: x, until: 2030-01-01, who: me}", "who"),
        ("code: COL001", "expected a list of waivers"),
        ("- [", "broken YAML"),
    ],
)
def test_a_waivers_file_that_cannot_be_used_says_what_was_expected(tmp_path, text, part):
    path = tmp_path / "waivers.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(gate.GateError, match=r"waivers\.yaml") as raised:
        gate.read_waivers(path)
    assert part in str(raised.value)


def test_a_waivers_file_is_read_and_an_empty_one_is_no_waiver(tmp_path):
    path = tmp_path / "waivers.yaml"
    path.write_text("- {code: COL001, reason: r, link: https://example.org, until: 2030-01-15}", encoding="utf-8")
    assert gate.read_waivers(path) == (_waiver("COL001"),)
    path.write_text("", encoding="utf-8")
    assert gate.read_waivers(path) == ()


def test_a_waiver_needs_no_link(tmp_path):
    path = tmp_path / "waivers.yaml"
    path.write_text("- {code: COL001, reason: r, until: 2030-01-01}", encoding="utf-8")
    (waiver,) = gate.read_waivers(path)
    assert waiver.describe() == "until 2030-01-01: r"
