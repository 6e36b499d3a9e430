from __future__ import annotations

import datetime
from xml.etree import ElementTree

import msgspec

from preflight_ocr.harness.judging.findings import Broken, Kept, Skipped
from preflight_ocr.harness.verdict.gate import Waiver
from preflight_ocr.reports import junit


def _cases(report):
    suite = ElementTree.fromstring(junit.render(report)).find("testsuite")
    return suite, {case.get("name"): case for case in suite.iter("testcase")}


def test_each_ending_has_its_element(report):
    suite, cases = _cases(report)
    assert {k: suite.get(k) for k in ("tests", "failures", "errors", "skipped")} == {
        "tests": "7", "failures": "3", "errors": "1", "skipped": "2",
    }  # fmt: skip
    assert len(cases["CFG001-unknown_key"]) == 0
    assert cases["ENV001-missing_kernels"].find("skipped").get("message") == "no accelerator here"
    assert "ValueError" in cases["MEM001-memory_over_budget"].find("error").get("message")


def test_a_failure_carries_the_finding(report):
    failure = _cases(report)[1]["COL001-broadcast_mask"].find("failure")
    assert failure.get("type") == "BLOCKER"
    assert "Fix: Build one entry per token." in failure.text


def test_a_waived_finding_is_skipped_with_the_waiver(make_report, judge, find_fault):
    broken = judge("CFG004", "misaligned_save_steps", Broken((find_fault("CFG004", "misaligned_save_steps"),)))
    waiver = Waiver(code="CFG004", reason="known", link="https://example.org", until=datetime.date(2031, 1, 1))
    case = _cases(make_report((broken,), waivers=(waiver,)))[1]["CFG004-misaligned_save_steps"]
    assert case.find("skipped").get("message").startswith("waived until 2031-01-01")


def test_characters_that_xml_cannot_hold_are_replaced(make_report, judge):
    report = make_report((judge("COL001", "x", Skipped("bad \x00 \x1b[31m <b>&")),))
    message = _cases(report)[1]["COL001-x"].find("skipped").get("message")
    assert message == "bad \ufffd \ufffd[31m <b>&"


def test_the_root_counts_what_the_suite_counts_and_the_suite_says_what_it_ran_with(report):
    root = ElementTree.fromstring(junit.render(report))
    suite = root.find("testsuite")
    assert root.attrib == suite.attrib
    said = {p.get("name"): p.get("value") for p in suite.find("properties")}
    assert said["verdict"] == "refused"
    assert said["transformers"] == report.environment["transformers"]
    assert suite[0].tag == "properties"


def test_a_failure_names_the_file_and_line_to_annotate(make_report, judge, find_fault):
    fault = find_fault("COL017", "failing_collator")
    report = make_report((judge("COL017", "failing_collator", Broken((fault,))), judge("COL018", "b", Kept())))
    cases = _cases(msgspec.structs.replace(report, lines={"model.base_model": 4}))[1]
    assert (cases["COL017-failing_collator"].get("file"), cases["COL017-failing_collator"].get("line")) == (
        "preflight.yaml",
        "4",
    )
    assert (cases["COL018-b"].get("file"), cases["COL018-b"].get("line")) == ("preflight.yaml", None)


def test_what_went_wrong_with_us_is_told_as_text_too(report):
    error = _cases(report)[1]["MEM001-memory_over_budget"].find("error")
    assert "ValueError: no such part" in error.text
