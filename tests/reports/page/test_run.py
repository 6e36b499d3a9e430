"""What the page says of a run: what was measured, and where something was not, which key would have it measured."""

from __future__ import annotations

import msgspec
import pytest

from preflight_ocr.harness.facts.history import Entry
from preflight_ocr.reports import html
from preflight_ocr.reports.page.run import MOST_READINGS, view_run
from tests.support.reports import make_history, make_reading, make_report, make_run_report


def view(*, readings=None, **changes):
    """The view of a run whose record has these `changes`."""
    run = make_history()
    kept = run.readings if readings is None else tuple(readings)
    return view_run(msgspec.structs.replace(run, record=msgspec.structs.replace(run.record, **changes), readings=kept))


def find(seen, name):
    (figure,) = (figure for figure in seen.figures if figure.name == name)
    return figure


def test_a_finished_run_is_headed_by_its_steps_and_both_rates():
    seen = view()
    assert seen.headline == "Trained 60 steps: CER 1.000 before, 0.000 after"
    assert seen.tone == "clear"
    assert find(seen, "CER before training").value == "1.000"
    assert find(seen, "CER after training").note == "on 64 rows of data.val_path"


def test_a_rate_that_rose_is_no_success():
    readings = [msgspec.structs.replace(make_reading(60), step=0, cer=0.1), make_reading(20)]
    assert view(readings=readings, adapter_step=20).tone == "major"


def test_rates_that_the_rows_do_not_tell_apart_are_no_success_and_it_is_said():
    first = make_reading(0)
    mixed = tuple(20 + (1 if number % 2 else -1) for number in range(64))
    seen = view(readings=[first, msgspec.structs.replace(make_reading(60), cer=0.99, edits=mixed)])
    assert seen.tone == "plain"
    assert seen.remarks[0].startswith("CER, not told apart by these rows: change +0.000 (-0.0")
    assert view().remarks == ("CER, change -1.000 (-1.000 to -1.000).",)


def test_a_model_that_reads_one_text_everywhere_is_no_success_and_it_is_said():
    constant = msgspec.structs.replace(make_reading(60), constant=("table", 60))
    seen = view(readings=[make_reading(0), constant])
    assert seen.tone == "major"
    assert seen.remarks[1].startswith("60 of 64 rows were read as the same wrong text, 'table'")


def test_what_was_not_read_is_not_measured_and_the_key_that_reads_it_is_named():
    seen = view(readings=(), unread="evaluation.sample would have held-out rows read")
    for name in ("CER before training", "CER after training"):
        assert find(seen, name).value == "not measured" and find(seen, name).is_missing
        assert "evaluation.sample" in find(seen, name).note
    assert "CER" not in seen.headline and seen.tone == "plain"


def test_a_run_that_was_continued_says_why_nothing_was_read_before_it():
    seen = view(readings=[make_reading(40), make_reading(60)])
    assert "was continued" in find(seen, "CER before training").note
    assert find(seen, "CER after training").value == "0.000"


def test_the_rate_of_another_step_is_told_as_that():
    seen = view(adapter_step=40)
    assert find(seen, "CER after training").note.endswith("with the weights of step 40")


@pytest.mark.parametrize(
    ("ending", "headline", "tone"),
    [
        ("stopped", "Stopped after 40 of 60 steps", "partial"),
        ("failed", "Failed after 40 of 60 steps", "refused"),
        ("early", "Ended early after 40 of 60 steps", "plain"),
    ],
)
def test_a_run_that_did_not_end_is_headed_by_that(ending, headline, tone):
    seen = view(readings=[make_reading(0), make_reading(20)], ending=ending, steps=40, adapter=None, adapter_step=None)
    assert (seen.headline, seen.tone) == (headline, tone)
    after = find(seen, "CER after training")
    assert after.is_missing and "0.667 at the last reading, after step 20" in after.note


def test_a_run_that_was_killed_has_no_end_and_the_steps_that_it_logged():
    run = make_history(40)
    record = msgspec.structs.replace(run.record, ending="open", ended=None, steps=0, planned=0)
    seen = view_run(msgspec.structs.replace(run, record=record))
    assert seen.headline == "No end on record: the run goes on, or was ended by force, after 40 steps"


def test_a_loss_that_was_not_finite_is_said():
    run = msgspec.structs.replace(make_history(), entries=(Entry(step=1, values={"loss": None}),))
    assert find(view_run(run), "Loss").value == "not finite"


def test_rows_over_time_are_in_the_order_of_the_steps_with_what_differs_marked():
    first, second = view().samples
    assert [one.step for one in first.readings] == [0, 20, 40, 60]
    assert {piece.operation for piece in first.readings[-1].pieces} == {"equal"}
    assert "equal" not in {piece.operation for piece in first.readings[0].pieces}
    assert second.number == 8


def test_of_many_readings_the_first_and_the_last_are_shown_with_others_between():
    seen = view(readings=[make_reading(step) for step in range(61)])
    steps = [one.step for one in seen.samples[0].readings]
    assert len(steps) == MOST_READINGS and steps[0] == 0 and steps[-1] == 60
    assert steps == sorted(set(steps)) and seen.readings == 61


def test_a_long_text_is_cut_and_says_by_how_much():
    long = msgspec.structs.replace(make_reading(60).texts[0], true="a" * 5000, read="a" * 4000)
    seen = view(readings=[msgspec.structs.replace(make_reading(60), texts=(long,))])
    (sample,) = seen.samples
    assert sample.more == 3500 and sample.readings[0].more == 2500


def test_the_page_of_a_run_is_headed_by_it_and_that_of_a_later_check_is_not():
    page = html.render(make_run_report())
    head = page[page.index("<h1>") : page.index("</h1>")]
    assert "Trained 60 steps: CER 1.000 before, 0.000 after" in head
    for part in ("outputs/adapter", "0123456789abcdef" * 4, "torch 2.13.0", "30 min 0 s", "outputs/checkpoint-20"):
        assert part in page
    assert 'href="./report-evaluation.html"' in page and "preflight evaluate config/run.yaml" in page
    assert "CER and WER" not in head and "Read over time" in page
    later = html.render(make_report())
    assert "Trained 60 steps" not in later[later.index("<h1>") : later.index("</h1>")]
    assert "The last run: Trained 60 steps" in later
