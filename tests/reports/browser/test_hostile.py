"""Nothing from a model, a file name, a data set or a report runs as a script, with and without the page's policy."""

from __future__ import annotations

import functools
import re

import msgspec
import pytest

from preflight_ocr.harness.judging.findings import Broken, Crashed, Skipped
from preflight_ocr.harness.verdict.contracts import Judgement
from preflight_ocr.harness.verdict.gate import Waiver
from preflight_ocr.reports import comparison, html, json_writer, matrix
from tests.support.hostile import HOSTILE, poison
from tests.support.matrices import make_matrix
from tests.support.reports import SICK, make_report

POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
# Every way to touch an element, for attributes that a text may have smuggled in.
TOUCH = """() => { for (const element of document.querySelectorAll('*'))
  for (const kind of ['mouseover', 'focus', 'click', 'load', 'error', 'toggle'])
    element.dispatchEvent(new Event(kind)); }"""


def _poison_judgement(judgement: Judgement) -> Judgement:
    outcome = judgement.outcome
    if isinstance(outcome, Broken):
        findings = tuple(poison(f, keep=frozenset({"code", "name", "docs"})) for f in outcome.findings)
        return msgspec.structs.replace(judgement, outcome=Broken(findings, outcome.explained_by))
    if isinstance(outcome, Skipped | Crashed):
        return msgspec.structs.replace(judgement, outcome=type(outcome)(HOSTILE))
    return judgement


@functools.cache
def make_hostile_report() -> str:
    report = make_report(SICK)
    judgements = [_poison_judgement(judgement) for judgement in report.judgements]
    judgements[0] = msgspec.structs.replace(judgements[0], outcome=Crashed(HOSTILE))
    return html.render(
        msgspec.structs.replace(
            report,
            facts=poison(report.facts),
            judgements=tuple(judgements),
            findings=tuple(poison(f, keep=frozenset({"code", "name", "docs"})) for f in report.findings),
            config=HOSTILE,
            environment={HOSTILE: HOSTILE},
            timings={HOSTILE: 1.0},
            verdict="blind",
            reason_why=HOSTILE,
            waived=(poison(Waiver(code="", reason="", link="", until=report.run.written.date())),),
            waiver_problems=(HOSTILE,),
            illustrations=poison(report.illustrations),
            run=poison(report.run),
        )
    )


@functools.cache
def make_hostile_comparison() -> str:
    documents = [
        poison(msgspec.json.decode(json_writer.render(make_report(faults)), type=json_writer.Document))
        for faults in (SICK, ("misaligned_loss",))
    ]
    second = msgspec.structs.replace(
        documents[1],
        findings=tuple(msgspec.structs.replace(f, code=f"{HOSTILE}2") for f in documents[1].findings),
        environment={HOSTILE: f"{HOSTILE}3"},
    )
    return comparison.render(comparison.compare(documents[0], second, names=(HOSTILE, HOSTILE)))


@functools.cache
def make_hostile_matrix() -> str:
    hostile = poison(make_matrix(("a", "b", "c", "d", "e"), releases=("4.46.3", "5.0.0"), peft=("0.13.2", "0.21.2")))
    # One name for all would make one row and one column of it.
    cells = tuple(
        msgspec.structs.replace(
            cell,
            transformers=f"{HOSTILE}{n // 2}",
            peft=f"{HOSTILE}{n}",
            models=tuple(msgspec.structs.replace(m, model=f"{HOSTILE}{k}") for k, m in enumerate(cell.models)),
        )
        for n, cell in enumerate(hostile.cells)
    )
    return matrix.render(msgspec.structs.replace(hostile, cells=cells))


PAGES = {"check": make_hostile_report, "compare": make_hostile_comparison, "matrix": make_hostile_matrix}


@pytest.mark.parametrize("guarded", [True, False], ids=["with its policy", "without"])
@pytest.mark.parametrize("kind", PAGES)
def test_no_script_of_theirs_runs(kind, guarded, open_page):
    text = PAGES[kind]()
    assert HOSTILE not in text
    assert len(POLICY.findall(text)) == 1
    opened = open_page(text if guarded else POLICY.sub("", text))
    opened.evaluate(TOUCH)
    opened.page.wait_for_timeout(50)
    assert opened.evaluate("window.pwned") is None
    assert [error for error in opened.errors if "ERR_INVALID_URL" not in error] == []
    assert opened.requests == []
    attributes = opened.evaluate(
        """() => [...document.querySelectorAll('*')].flatMap((element) => element.getAttributeNames()
          .filter((name) => name.startsWith('on') || /^(javascript|vbscript):/i.test(element.getAttribute(name).trim())))"""
    )
    assert attributes == []
    assert opened.evaluate("document.scripts.length") == 1
    assert "window.pwned = 'script'" in opened.page.locator("main").inner_text()
    assert opened.spill() <= 0


def test_the_policy_lets_nothing_of_theirs_run_even_where_it_was_not_escaped(open_page):
    text = make_hostile_matrix().replace(
        "<main", "<script>window.pwned = 1</script><img src=x onerror='pwned = 2'><main"
    )
    opened = open_page(text)
    opened.page.wait_for_timeout(50)
    assert opened.evaluate("window.pwned") is None
    assert opened.errors  # the browser says what it refused


def test_the_hostile_text_is_hostile(open_page):
    """Put into a page as it is, it runs: so the tests above would see it."""
    opened = open_page(f"<!doctype html><title>x</title><p>{HOSTILE}</p>")
    opened.page.wait_for_timeout(50)
    assert opened.evaluate("window.pwned")
