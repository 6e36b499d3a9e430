from __future__ import annotations

import datetime
import re
from xml.etree import ElementTree

import pytest

from preflight_ocr.harness.facts import Unknown
from preflight_ocr.harness.facts.history import Entry, RunHistory
from preflight_ocr.reports.page import curves
from tests.specimens import HEALTHY, altered

STYLED = {"fill", "stroke"}


def make_run(*entries: Entry) -> RunHistory:
    return RunHistory(source="history.jsonl", written=datetime.datetime(2030, 1, 1), entries=entries)


@pytest.fixture
def run():
    return make_run(
        *(
            Entry(step=s, values={"loss": 4.0 / s, "learning_rate": 1e-3 / s}, memory=s << 28, measured="resident")
            for s in (1, 2, 4)
        ),
        Entry(step=4, values={"eval_loss": 1.5}, memory=5 << 28, measured="resident"),
    )


def test_a_run_has_loss_learning_rate_and_memory(run):
    drawn = list(curves.draw_run(run))
    assert [curve.title for curve in drawn] == ["Loss", "Learning rate", "Memory in MiB"]
    assert drawn[0].heads == ("step", "loss", "on held-out rows")
    assert drawn[0].rows == (("1", "4", ""), ("2", "2", ""), ("4", "1", "1.5"))
    assert drawn[2].caption == "Resident memory of the process: at most 1,280 MiB at a logged step."


def test_error_rates_are_drawn_by_step_from_the_untrained_model_on():
    """The weights of step 2 were loaded again at the end, and read last."""
    logged = ((0, 1.0), (2, 0.5), (4, 0.6), (2, 0.5))
    entries = [Entry(step=step, values={"eval_cer": rate, "eval_wer": 1.0}) for step, rate in logged]
    (curve,) = curves.draw_run(make_run(*entries))
    assert curve.title == "CER and WER" and curve.heads == ("step", "CER", "WER")
    assert curve.rows == (("0", "1", "1"), ("2", "0.5", "1"), ("4", "0.6", "1"))
    assert curve.caption == "Error rates of held-out rows: CER 1 at first, 0.6 at last."


def test_what_was_not_logged_is_not_drawn():
    assert list(curves.draw_run(make_run(Entry(step=1, values={"train_runtime": 3.0})))) == []


def test_a_loss_that_is_not_finite_is_a_gap_that_is_told():
    entries = [Entry(step=s, values={"loss": None if s == 2 else 1.0}) for s in (1, 2, 3)]
    (curve,) = curves.draw_run(make_run(*entries))
    assert curve.note == "1 logged values were not finite and are left out of the curve."
    assert curve.rows[1] == ("2", "not finite")


def test_a_run_of_nothing_but_nan_is_drawn_all_the_same():
    (curve,) = curves.draw_run(make_run(Entry(step=1, values={"loss": None})))
    assert "no number was finite" in curve.caption


def test_one_batch_repeated_is_held_against_guessing():
    (curve,) = curves.draw_learning(HEALTHY)
    assert curve.caption.startswith(
        "Loss of the check's own steps on one batch: 6.250 at the first, 4.880 at the last of 5"
    )
    assert "ln(vocabulary)" in curve.svg
    facts = altered(HEALTHY, {"forward.uniform_loss": Unknown(reason="no")})
    assert "ln(vocabulary)" not in next(iter(curves.draw_learning(facts))).svg


def test_no_steps_no_curve():
    assert list(curves.draw_learning(altered(HEALTHY, {"learning.losses": Unknown(reason="no")}))) == []


def test_a_chart_has_no_colour_no_style_and_no_clock_of_its_own(run):
    for curve in curves.draw_run(run):
        root = ElementTree.fromstring(curve.svg)
        assert root.get("viewBox")
        for element in root.iter():
            assert "style" not in element.attrib
            assert not [k for k in element.attrib if k.startswith("on")]
            assert element.tag.rpartition("}")[2] not in ("style", "script", "metadata", "foreignObject", "image")
            for name in STYLED & set(element.attrib):
                assert element.get(name) in ("none", "currentColor")
        assert not re.search(r"#[0-9a-f]{6}|http(?!://www\.w3\.org)", curve.svg)


def test_references_in_a_chart_point_into_that_chart(run):
    charts = [curve.svg for curve in curves.draw_run(run)]
    for svg in charts:
        ids = set(re.findall(r'\bid="([^"]+)"', svg))
        assert set(re.findall(r'(?:url\(|href=")#([^")]+)', svg)) <= ids
    together = [i for svg in charts for i in re.findall(r'\bid="([^"]+)"', svg)]
    assert len(together) == len(set(together))


def test_the_same_run_is_drawn_with_the_same_bytes(run):
    assert [curve.svg for curve in curves.draw_run(run)] == [curve.svg for curve in curves.draw_run(run)]
