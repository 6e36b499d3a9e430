from __future__ import annotations

import datetime

import pytest

from preflight_ocr.harness.facts import Unknown
from preflight_ocr.harness.judging.findings import Broken, Crashed, Kept, Severity, Skipped
from preflight_ocr.harness.verdict.gate import Waiver
from preflight_ocr.reports import terminal
from tests.specimens import HEALTHY, altered


def test_findings_are_root_causes_only_worst_first(report):
    assert [f.code for f in report.findings] == ["COL001", "LBL002"]
    assert report.findings[0].consequences == ("COL004",)
    assert report.verdict == "refused"


def test_a_consequence_says_of_what(report):
    reasons = {j.contract.id: report.reason(j) for j in report.judgements}
    assert reasons["COL004-shifted_mask"] == "a consequence of COL001"
    assert reasons["CFG001-unknown_key"] == ""


def test_skipped_contracts_are_grouped_by_their_reason(report):
    assert report.skipped == {"no accelerator here": ("DEV001-hard_coded_device", "ENV001-missing_kernels")}


@pytest.mark.parametrize(
    ("severity", "code"), [(Severity.BLOCKER, 12), (Severity.MAJOR, 11), (Severity.MINOR, 0), (Severity.NOTE, 0)]
)
def test_the_exit_code_is_that_of_the_worst_finding(make_report, judge, find_fault, essentials, severity, code):
    broken = judge("COL001", "broadcast_mask", Broken((find_fault("COL001", "broadcast_mask", severity),)))
    assert make_report((broken, *essentials)).exit_code == code


def test_a_run_that_judged_nothing_is_not_clear(make_report, judge):
    report = make_report((judge("COL001", "broadcast_mask", Skipped("no trust")),))
    assert (report.verdict, report.exit_code) == ("blind", 3)
    assert make_report(()).exit_code == 3


def test_a_crash_of_ours_is_not_clear_either(make_report, judge, essentials):
    report = make_report((*essentials, judge("COL002", "b", Crashed("ValueError"))))
    assert (report.verdict, report.exit_code) == ("blind", 3)
    assert report.headline == "BLIND: no findings; 1 CRASHED"


def test_a_waived_blocker_lets_the_run_through(make_report, judge, find_fault, essentials):
    fault = find_fault("CFG004", "misaligned_save_steps")
    waiver = Waiver(code="CFG004", reason="known", link="https://example.org/1", until=datetime.date(2030, 2, 1))
    report = make_report((judge("CFG004", "misaligned_save_steps", Broken((fault,))), *essentials), waivers=(waiver,))
    assert (report.verdict, report.exit_code, report.findings) == ("clear", 0, ())
    assert report.reason(report.judgements[0]) == "waived until 2030-02-01: known (https://example.org/1)"


def test_the_environment_is_that_of_the_facts(make_report, report):
    assert report.environment["transformers"] == HEALTHY.environment.packages["transformers"]
    blind = altered(HEALTHY, {"environment": Unknown(reason="not run")})
    assert make_report((), facts=blind).environment == {}


def test_a_model_that_cannot_be_read_is_blind_whatever_else_is_well(make_report, judge):
    facts = altered(HEALTHY, {"repository": Unknown(reason="config.json is not JSON")})
    report = make_report((judge("CFG001", "unknown_key", Kept()),), facts=facts)
    assert (report.verdict, report.exit_code) == ("blind", 3)
    assert report.blind == "the model could not be read: config.json is not JSON"
    assert report.blind in terminal.render(report)


def test_a_run_that_was_asked_for_and_did_not_happen_is_blind(make_report, judge):
    unknown = Unknown(reason="data.train_path is not set")
    facts = altered(HEALTHY, dict.fromkeys(("processor", "collator", "forward", "learning"), unknown))
    kept, skipped = judge("CFG001", "unknown_key", Kept()), judge("COL017", "failing_collator", Skipped(unknown.reason))
    report = make_report((kept, skipped), facts=facts)
    assert (report.verdict, report.exit_code) == ("blind", 3)
    assert report.blind == "not looked at: collator (COL017-failing_collator: data.train_path is not set)"


def test_one_skipped_contract_blinds_nobody(make_report, judge, essentials):
    report = make_report(
        (judge("COL014", "mixed_batch", Skipped("no such row")), judge("CFG001", "unknown_key", Kept()), *essentials)
    )
    assert (report.verdict, report.exit_code, report.blind) == ("clear", 0, "")
