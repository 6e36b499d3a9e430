"""The table of public programs: what a command measured, with a person's word on each finding."""

from __future__ import annotations

import msgspec
import yaml

from docs.measure.programs import KEPT, PAGE, PROGRAMS, Program, Seen, write_page

LISTED = msgspec.convert(yaml.safe_load(PROGRAMS.read_text(encoding="utf-8")), tuple[Program, ...])
MEASURED = msgspec.json.decode(KEPT.read_bytes(), type=tuple[Seen, ...])


def test_the_page_says_what_was_measured():
    assert PAGE.read_text(encoding="utf-8") == write_page(LISTED, {one.name: one for one in MEASURED})


def test_every_finding_was_judged_by_a_person_and_what_was_false_is_said_to_be_mended():
    judged = {program.name: program.findings for program in LISTED}
    verdicts = [(one.name, code, judged[one.name][code]) for one in MEASURED for code in one.findings]
    assert verdicts and not [
        place for place in verdicts if place[2].verdict == "false" and "mended" not in place[2].why
    ]


def test_nothing_that_was_not_measured_is_listed_as_held():
    assert {one.name for one in MEASURED} <= {program.name for program in LISTED}
    assert all(one.said.startswith("Held at" if one.held is not None else "Not held") for one in MEASURED)
