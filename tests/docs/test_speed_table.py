"""The committed measurement of speed: what it holds, and that its pages show it."""

from __future__ import annotations

from docs.measure import speed
from tests.support.places import ROOT


def test_every_way_was_timed_in_every_project_and_round():
    found = speed.read_results()
    assert [case.project for case in found.cases] == list(speed.PROJECTS)
    for case in found.cases:
        for times in (case.seconds, case.processor):
            assert {way: len(rounds) for way, rounds in times.items()} == dict.fromkeys(speed.WAYS, found.rounds)


def test_a_check_of_a_small_project_takes_at_most_twice_as_long_as_one_step_of_trainer():
    for case in speed.read_results().cases:
        if "small pages" in case.project:
            assert case.compare("check", "dry run")[0] <= 2
        assert case.compare("again", "dry run")[0] <= 0.5


def test_ratios_are_those_of_one_round():
    seconds = {"check": (2.0, 40.0, 3.0), "dry run": (1.0, 10.0, 2.0)}
    case = speed.Case(project="p", seconds=seconds, processor={})
    assert case.compare("check", "dry run") == (2.0, 1.5, 4.0)


def test_its_pages_show_the_committed_measurement():
    page = (ROOT / "docs" / "measured" / "speed.md").read_text(encoding="utf-8")
    compared = (ROOT / "docs" / "explanation" / "compared.md").read_text(encoding="utf-8")
    assert speed.render() in page
    assert speed.summarise() in compared
