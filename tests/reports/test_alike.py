"""What keeps a reader from relying on a check stands in every form of its report, not on the terminal alone."""

from __future__ import annotations

import html as escaping
import json
from collections.abc import Callable

import msgspec
import pytest

from preflight_ocr.harness.judging.findings import Crashed, Kept, Skipped
from preflight_ocr.reports import html, json_writer, junit, sarif, terminal

WRITERS: dict[str, Callable[..., str]] = {
    "terminal": lambda report: terminal.render(report, width=10_000),
    "HTML": lambda report: escaping.unescape(html.render(report)),
    "JSON": lambda report: json_writer.render(report).decode(),
    "JUnit": lambda report: escaping.unescape(junit.render(report).decode()),
    "SARIF": lambda report: sarif.render(report).decode(),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_every_writer_says_what_was_open_to_foreign_code(report, writer):
    opening = "the network was open to foreign code: --network was given"
    assert opening not in WRITERS[writer](report)
    assert opening in WRITERS[writer](msgspec.structs.replace(report, openings=(opening,)))


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("outcome", [Skipped("lost on the way"), Crashed("ValueError: lost on the way")])
def test_every_writer_says_what_stops_a_clear_verdict(make_report, judge, essentials, writer, outcome):
    judged = [msgspec.structs.replace(j, outcome=outcome) if n == 0 else j for n, j in enumerate(essentials)]
    report = make_report(tuple(judged))
    assert report.verdict == "blind"
    assert report.reason_why in WRITERS[writer](report)


@pytest.mark.parametrize("writer", WRITERS)
def test_every_writer_says_that_only_a_part_was_asked_for(make_report, judge, writer):
    report = make_report((judge("CFG001", "unknown_key", Kept()),), level="read")
    assert report.verdict == "partial"
    assert report.reason_why in WRITERS[writer](report)


@pytest.mark.parametrize("writer", WRITERS)
def test_every_writer_says_which_waiver_needs_attention(report, writer):
    problem = "waiver COL001 lapsed on 2029-01-01: fix COL001, or give the waiver a new date"
    assert problem in WRITERS[writer](msgspec.structs.replace(report, waiver_problems=(problem,)))


def test_the_openings_of_a_sarif_log_are_notifications_of_their_own_kind(report):
    log = json.loads(sarif.render(msgspec.structs.replace(report, openings=("the network was open",))))
    [invocation] = log["runs"][0]["invocations"]
    said = [n for n in invocation["toolExecutionNotifications"] if n["descriptor"]["id"] == "open"]
    assert [(n["level"], n["message"]["text"]) for n in said] == [("warning", "the network was open")]
