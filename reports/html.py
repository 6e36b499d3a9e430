"""The report of a check as one HTML page that needs nothing beside itself: no font, no picture, no script from anywhere.

Whatever comes from the model, the data or the configuration is escaped by jinja2. Marked safe are three things only:
our own style and script, curves that were drawn here, and the diagnoses' docstrings as rendered Markdown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from preflight_ocr.harness import atomic
from preflight_ocr.harness.facts import Collator, Configuration, Facts, PixelView, Unknown
from preflight_ocr.harness.facts.history import RunHistory
from preflight_ocr.harness.facts.illustrations import RowIllustration
from preflight_ocr.harness.judging.findings import (
    Basis,
    Broken,
    Crashed,
    Finding,
    Kept,
    NotApplicable,
    Severity,
    Skipped,
)
from preflight_ocr.harness.judging.header import FAMILIES
from preflight_ocr.harness.judging.wording import spell_bytes
from preflight_ocr.harness.verdict.contracts import Judgement
from preflight_ocr.harness.verdict.report import Report
from preflight_ocr.reports.page import bars, curves
from preflight_ocr.reports.page.explanations import explain
from preflight_ocr.reports.page.shell import render_page
from preflight_ocr.reports.page.strips import ROLES, Strip, draw_strips

if TYPE_CHECKING:
    from preflight_ocr.reports.page.run import RunView

_BASES: Mapping[Basis, str] = {
    Basis.READ: "files were read; no foreign code was run",
    Basis.RAN: "it was run on the CPU",
    Basis.GPU: "it was run on an accelerator",
}


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """Contracts that were not looked at for one reason."""

    reason: str
    judgements: tuple[Judgement, ...]


class RowView(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the batch: its strip, what is shown of it, and what is known of its pictures, by their path."""

    number: int
    strip: Strip | None
    shown: RowIllustration | None
    known: dict[str, tuple[str, ...]]


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One family of diagnoses in the summary, and how many of its contracts ended how."""

    family: str
    about: str
    kept: int
    broken: int
    unseen: int


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the table of contents."""

    anchor: str
    title: str
    count: str = ""
    loud: bool = False


def render(report: Report) -> str:
    """The page."""
    rows = tuple(show_rows(report))
    gaps = tuple(_list_gaps(report))
    findings = report.findings
    explanations = tuple(explain(_list_codes(findings)))
    configuration = report.facts.configuration
    ending = _view_ending(report)
    leads = _is_after(ending, report)
    context = {
        "report": report,
        "headline": report.headline.partition(";")[0],
        "tone": ending.tone if ending is not None and leads else report.tone,
        "ending": ending,
        "leads": leads,
        "tally": [(s.value, number) for s in Severity if (number := sum(f.severity is s for f in findings))],
        "kept": report.count(Kept),
        "skipped_count": report.count(Skipped),
        "idle_count": report.count(NotApplicable),
        "model": configuration.base_model if isinstance(configuration, Configuration) else "",
        "summary": tuple(_summarise(report)),
        "bases": _BASES,
        "roles": ROLES,
        "gaps": gaps,
        "rows": rows,
        "no_rows": _say_why_no_rows(report.facts),
        "illustrations": report.illustrations,
        "is_shown": not isinstance(report.illustrations, Unknown),
        "explanations": explanations,
        "explained": {explanation.code: explanation.anchor for explanation in explanations},
        "codes": sorted({judgement.contract.diagnosis.code for judgement in report.judgements}),
        "learnt": tuple(curves.draw_learning(report.facts)),
        "no_steps": _say_why_no_steps(report.facts),
        "run": report.run if isinstance(report.run, RunHistory) else None,
        "no_run": report.run.reason if isinstance(report.run, Unknown) else "",
        "ran": tuple(curves.draw_run(report.run)) if isinstance(report.run, RunHistory) else (),
        "roll": _known(bars.count_adapters(report.facts)),
        "memory": _known(bars.weigh_memory(report.facts)),
        "spell_bytes": spell_bytes,
        "missing": {
            "roll": _reason(bars.count_adapters(report.facts)),
            "memory": _reason(bars.weigh_memory(report.facts)),
        },
        "entries": tuple(_list_contents(report, gaps, rows, leads=leads)),
        "facts_json": msgspec.json.format(report.facts.to_json(), indent=2).decode("utf-8"),
    }
    return render_page("report.html.j2", context, styles=("_style.css", "_report.css", "_run.css"))


def write(report: Report, path: Path) -> None:
    """Write the page in one step. Raises OSError where the folder cannot be written."""
    atomic.write_text(path, render(report))


def _view_ending(report: Report) -> RunView | None:
    if not isinstance(report.run, RunHistory):
        return None
    # Needs numpy, which is there wherever something was trained and need not be where files are only read.
    from preflight_ocr.reports.page.run import view_run

    return view_run(report.run)


def _is_after(ending: RunView | None, report: Report) -> bool:
    """Whether the run is the news: it began when the check had been made, not before."""
    return ending is not None and report.checked is not None and ending.record.began >= report.checked


def show_rows(report: Report) -> Iterator[RowView]:
    """The rows of the batch; those of a batch that cannot be read token by token have their pictures all the same."""
    shown = () if isinstance(report.illustrations, Unknown) else report.illustrations.rows
    strips = tuple(draw_strips(report.facts, shown))
    remarks = _describe_views(report.facts)
    for number in range(max(len(strips), len(shown))):
        yield RowView(
            number=number,
            strip=strips[number] if number < len(strips) else None,
            shown=shown[number] if number < len(shown) else None,
            known=remarks,
        )


def _describe_views(facts: Facts) -> dict[str, tuple[str, ...]]:
    """What the comparison with our own collator found about a picture and is not as expected, by its path."""
    if not isinstance(facts.collator, Collator) or isinstance(facts.collator.views, Unknown):
        return {}
    return {view.path: said for view in facts.collator.views if (said := tuple(_describe_view(view)))}


def _describe_view(view: PixelView) -> Iterator[str]:
    if view.geometry not in ("as expected", "unrecognised"):
        yield f"the page is {view.geometry}"
    if view.source_row not in (None, view.row):
        yield f"this is the page of row {view.source_row}"


def _list_codes(findings: tuple[Finding, ...]) -> Iterator[str]:
    """Every code that the findings name."""
    for finding in findings:
        yield finding.code
    for finding in findings:
        yield from finding.consequences


def _list_gaps(report: Report) -> Iterator[Gap]:
    for reason in report.skipped:
        found = tuple(j for j in report.judgements if isinstance(j.outcome, Skipped) and j.outcome.reason == reason)
        yield Gap(reason=reason, judgements=found)


def _say_why_no_rows(facts: Facts) -> str:
    """Why there is no row to be shown."""
    unknown = facts.unknown_on("collator.batch.rows")
    return unknown.reason if unknown else "the batch has no rows"


def _say_why_no_steps(facts: Facts) -> str:
    unknown = facts.unknown_on("learning.losses")
    return unknown.reason if unknown else "no step was made"


def _known(value: Any) -> Any:
    return None if isinstance(value, Unknown) else value


def _reason(value: object) -> str:
    return value.reason if isinstance(value, Unknown) else ""


def _summarise(report: Report) -> Iterator[Line]:
    """Each family that has a contract which applies here. A contract that crashed is as little known as a skipped one."""
    for family, about in FAMILIES.items():
        outcomes = [j.outcome for j in report.judgements if j.contract.diagnosis.family == family]
        line = Line(
            family=family,
            about=about,
            kept=sum(isinstance(outcome, Kept) for outcome in outcomes),
            broken=sum(isinstance(outcome, Broken) for outcome in outcomes),
            unseen=sum(isinstance(outcome, Skipped | Crashed) for outcome in outcomes),
        )
        if line.kept or line.broken or line.unseen:
            yield line


def _list_contents(report: Report, gaps: tuple[Gap, ...], rows: tuple[RowView, ...], *, leads: bool) -> Iterator[Entry]:
    if leads:
        yield Entry(anchor="run", title="The run")
        yield Entry(anchor="samples", title="Read over time")
        yield Entry(anchor="check", title="The check before it")
    if report.findings:
        yield Entry(anchor="findings", title="Findings", count=str(len(report.findings)), loud=True)
    else:
        yield Entry(anchor="summary", title="Summary")
    if report.crashed:
        yield Entry(anchor="crashed", title="Crashed", count=str(len(report.crashed)), loud=True)
    if gaps:
        yield Entry(anchor="skipped", title="Not looked at", count=str(report.count(Skipped)), loud=True)
    if report.not_applicable:
        yield Entry(anchor="inapplicable", title="Not applicable", count=str(report.count(NotApplicable)))
    if report.waived or report.waiver_problems:
        yield Entry(anchor="waived", title="Waivers", count=str(len(report.waived)), loud=bool(report.waiver_problems))
    if report.findings:
        yield Entry(anchor="summary", title="Summary")
    yield Entry(anchor="rows", title="What the model sees", count=str(len(rows) or ""))
    yield Entry(anchor="learning", title="The check's own steps" if leads else "Curves")
    yield Entry(anchor="adapters", title="LoRA census")
    yield Entry(anchor="memory", title="Memory")
    yield Entry(anchor="contracts", title="All contracts", count=str(len(report.judgements)))
    if report.findings:
        yield Entry(anchor="explanations", title="Explanations")
    yield Entry(anchor="environment", title="Environment")
    yield Entry(anchor="facts", title="Facts")
