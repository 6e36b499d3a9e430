"""The report as JUnit XML, so that a CI server shows each contract as a test.

There is no one standard. What is written is what Jenkins, GitLab and the common actions of GitHub read: counts and seconds
on the suite and on the root, `file` and `line` for whoever annotates, every reason both as `message` and as text.
"""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

from preflight_ocr.harness import atomic
from preflight_ocr.harness.judging.findings import Broken, Crashed, NotApplicable, Skipped
from preflight_ocr.harness.judging.header import FAMILIES
from preflight_ocr.harness.verdict.contracts import Judgement
from preflight_ocr.harness.verdict.report import Report
from preflight_ocr.reports.places import locate, name_config
from preflight_ocr.reports.terminal import explain_broken

# XML 1.0 has no way to write these, not even escaped.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def render(report: Report) -> bytes:
    """UTF-8 XML. A broken contract is a failure, a crashed one an error; JUnit has one word, skipped, for those that are
    waived, not looked at or not applicable, and the message says which. A blind check has an error of its own.
    """
    waived = {w.code for w in report.waived}
    cases = [_render_case(report, judgement, waived) for judgement in report.judgements]
    if report.verdict == "blind":
        cases.append(_tell_blindness(report))
    suite = ElementTree.Element(
        "testsuite",
        name="preflight",
        tests=str(len(cases)),
        failures=str(sum(case.find("failure") is not None for case in cases)),
        errors=str(sum(case.find("error") is not None for case in cases)),
        skipped=str(sum(case.find("skipped") is not None for case in cases)),
        time=f"{sum(j.seconds for j in report.judgements):.3f}",
    )
    suite.append(_list_properties(report))
    suite.extend(cases)
    root = ElementTree.Element("testsuites", suite.attrib)
    root.append(suite)
    ElementTree.indent(root)
    document: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def write(report: Report, path: Path) -> None:
    """Write the report in one step. Raises OSError where the folder cannot be written."""
    atomic.write_bytes(path, render(report))


def _render_case(report: Report, judgement: Judgement, waived: set[str]) -> ElementTree.Element:
    diagnosis = judgement.contract.diagnosis
    case = ElementTree.Element(
        "testcase",
        classname=f"preflight.{FAMILIES.get(diagnosis.family, diagnosis.family)}",
        name=judgement.contract.id,
        time=f"{judgement.seconds:.6f}",
        file=_clean(name_config(report)),
    )
    reason = _clean(report.reason(judgement))
    match judgement.outcome:
        case Skipped():
            ElementTree.SubElement(case, "skipped", message=reason)
        case NotApplicable():
            ElementTree.SubElement(case, "skipped", message=f"not applicable: {reason}")
        case Broken() if diagnosis.code in waived:
            ElementTree.SubElement(case, "skipped", message=reason)
        case Broken() as broken:
            spot = locate(broken.findings[0], report)[0]
            case.attrib |= {"file": _clean(spot.path), "line": str(spot.line)}
            failure = ElementTree.SubElement(case, "failure", message=reason, type=broken.findings[0].severity.value)
            failure.text = _clean(explain_broken(broken))
        case Crashed():
            error = ElementTree.SubElement(case, "error", message=reason, type="Crashed")
            error.text = f"Our own judging failed, so nothing is known: {reason}"
    return case


def _tell_blindness(report: Report) -> ElementTree.Element:
    """What keeps the suite from being green where no contract failed and something that decides was not looked at."""
    case = ElementTree.Element("testcase", classname="preflight.verdict", name="verdict", time="0.000000")
    case.attrib["file"] = _clean(name_config(report))
    error = ElementTree.SubElement(case, "error", message=_clean(report.reason_why), type="Blind")
    error.text = _clean(f"{report.headline}\n{report.reason_why}")
    return case


def _list_properties(report: Report) -> ElementTree.Element:
    """What the suite was run with, why the verdict is what it is, and what was open to foreign code: name and value."""
    said = [
        ("config", report.config),
        ("level", report.level),
        ("verdict", report.verdict),
        ("headline", report.headline),
        ("why", report.reason_why),
        *(("open", opening) for opening in report.openings),
        *(("waiver problem", problem) for problem in report.waiver_problems),
        *report.environment.items(),
    ]
    properties = ElementTree.Element("properties")
    for name, value in said:
        ElementTree.SubElement(properties, "property", name=_clean(name), value=_clean(value))
    return properties


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)
