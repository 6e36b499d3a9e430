"""The report as one HTML page that needs nothing beside itself: no script, no font, no picture from anywhere.

Whatever comes from the model, the data or the configuration is escaped by jinja2; nothing is marked safe by hand.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import jinja2
import msgspec

from harness import atomic
from harness.facts import Batch, Configuration, Facts, Landing, Row, Unknown
from harness.findings import Basis, Kept, Severity, Skipped
from reports.report import Report

ROLES: Mapping[str, str] = {
    "b": "BOS",
    "i": "image placeholder",
    "p": "prompt",
    "t": "target",
    "e": "EOS",
    ".": "padding",
    "?": "could not be told",
}

_SHORT: Mapping[str, str] = dict(zip(ROLES, ("BOS", "image", "prompt", "target", "EOS", "pad", "?"), strict=True))

_BASES: Mapping[Basis, str] = {
    Basis.READ: "files were read; no foreign code was run",
    Basis.RAN: "it was run on the CPU",
    Basis.GPU: "it was run on an accelerator",
}


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """Neighbouring tokens that are alike. `weight` is the box's share of the width; `role` an index into `ROLES`."""

    role: int
    short: str
    label: str
    weight: float
    trained: bool
    landed: bool
    wrong: bool


class Strip(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the batch, ready to be drawn."""

    row: Row
    facts: str
    runs: tuple[Run, ...]
    notes: tuple[str, ...]


def render(report: Report) -> str:
    """The page."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    configuration = report.facts.configuration
    return environment.get_template("report.html.j2").render(
        report=report,
        verdict="Refused: nothing could be judged" if not report.judged else report.verdict.capitalize(),
        tone=report.verdict,
        tally=[(s.value, sum(f.severity is s for f in report.findings)) for s in Severity],
        kept=report.count(Kept),
        skipped_count=report.count(Skipped),
        model=configuration.base_model if isinstance(configuration, Configuration) else "",
        bases=_BASES,
        roles=ROLES,
        strips=tuple(draw_strips(report.facts)),
        facts_json=msgspec.json.format(report.facts.to_json(), indent=2).decode("utf-8"),
    )


def write(report: Report, path: Path) -> None:
    """Write the page in one step. Raises OSError where the folder cannot be written."""
    atomic.write_text(path, render(report))


def draw_strips(facts: Facts) -> Iterator[Strip]:
    """One strip per row of the batch that was run; none where no batch was seen."""
    if isinstance(facts.collator, Unknown) or not isinstance(facts.collator.batch, Batch):
        return
    rows = facts.collator.batch.rows
    if isinstance(rows, Unknown):
        return
    landings: Mapping[int, Landing] = {}
    repaired: tuple[str, ...] = ()
    if not isinstance(facts.forward, Unknown) and not isinstance(facts.forward.landing, Unknown):
        landings = {landing.row: landing for landing in facts.forward.landing}
        repaired = tuple(dict.fromkeys(repair.argument for repair in facts.forward.repairs))
    for index, row in enumerate(rows):
        yield _draw_strip(row, landings.get(index), repaired)


def _draw_strip(row: Row, landing: Landing | None, repaired: tuple[str, ...]) -> Strip:
    length = len(row.roles)
    landed = landing.landed.ljust(length, "0") if landing else "0" * length
    trained = row.trained.ljust(length, "0")
    said = [f"{length} tokens", f"{row.count('i')} image placeholders", f"{trained.count('1')} trained"]
    if landing:
        features = "an unknown number of" if isinstance(landing.features, Unknown) else str(landing.features)
        said += [f"{features} features offered", f"{landing.landed.count('1')} landed"]
    notes = []
    if landing is None:
        notes.append("Where image features land in this row was not seen.")
    elif repaired:
        notes.append(f"forward raised on this batch; the lane was seen after {', '.join(repaired)} had been replaced.")
    if row.marked and len(row.marked) != length:
        notes.append(f"The placement mask has length {len(row.marked)}, the row {length}.")
    if row.truncated:
        notes.append("This row was cut to max_seq_length.")
    tokens = zip(row.roles, trained, landed, strict=False)
    runs = tuple(_draw_run(key, sum(1 for _ in group), bool(landing)) for key, group in itertools.groupby(tokens))
    return Strip(row=row, facts=", ".join(said), runs=runs, notes=tuple(notes))


def _draw_run(key: tuple[str, str, str], number: int, looked: bool) -> Run:
    role, trained, landed = key[0], key[1] == "1", key[2] == "1"
    known = role if role in ROLES else "?"
    wrong = looked and landed != (role == "i")
    label = f"{number} x {ROLES[known]}{', trained on' if trained else ''}{', image features landed' if landed else ''}"
    return Run(
        role=list(ROLES).index(known),
        short=f"{_SHORT[known]} {number}" if number > 1 else _SHORT[known],
        label=f"{label}{' (wrong)' if wrong else ''}",
        weight=round(math.log2(number + 1), 2),
        trained=trained,
        landed=landed,
        wrong=wrong,
    )
