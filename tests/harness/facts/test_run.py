"""The record of a run, and what was read in it: only what was measured, of one sample, is compared."""

from __future__ import annotations

import datetime

import msgspec
import pytest

from preflight_ocr.harness.facts import history
from preflight_ocr.harness.facts.run import (
    READINGS,
    RECORD,
    RunRecord,
    find_rates,
    note_reading,
    read_readings,
    read_record,
    start_readings,
    write_record,
)
from tests.support.reports import make_reading

RUN = RunRecord(
    config="run.yaml",
    base_model="model",
    output_dir="out",
    began=datetime.datetime(2030, 1, 15, tzinfo=datetime.UTC),
    adapter="out/adapter",
    adapter_step=40,
)


def test_what_is_written_is_read_again(tmp_path):
    write_record(tmp_path, RUN)
    note_reading(tmp_path, make_reading(0))
    note_reading(tmp_path, make_reading(20))
    assert read_record(tmp_path) == RUN
    assert read_readings(tmp_path) == (make_reading(0), make_reading(20))


def test_a_run_that_goes_on_keeps_its_readings_up_to_there_and_a_new_one_keeps_none(tmp_path):
    for step in (0, 20, 40):
        note_reading(tmp_path, make_reading(step))
    start_readings(tmp_path, resumed_at=20)
    assert [one.step for one in read_readings(tmp_path)] == [0, 20]
    start_readings(tmp_path)
    assert read_readings(tmp_path) == ()


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"\xff\xfe", b'{"step": "many"}'])
def test_a_damaged_file_is_no_record_and_a_damaged_line_no_reading(tmp_path, damage):
    note_reading(tmp_path, make_reading(0))
    (tmp_path / RECORD).write_bytes(damage)
    (tmp_path / READINGS).write_bytes((tmp_path / READINGS).read_bytes() + damage)
    assert read_record(tmp_path) is None
    assert read_readings(tmp_path) == (make_reading(0),)


def test_a_run_that_ended_before_its_first_logged_step_has_a_history_without_entries(tmp_path):
    write_record(tmp_path, RUN)
    run = history.read_history(tmp_path)
    assert run.entries == () and run.record == RUN


def test_before_and_after_are_those_of_the_untrained_model_and_of_the_saved_weights():
    before, after = find_rates(RUN, [make_reading(step) for step in (0, 20, 40, 60)])
    assert (before.step, after.step) == (0, 40)


def test_nothing_takes_the_place_of_a_reading_that_was_not_made():
    assert find_rates(RUN, ()) == (None, None)
    assert find_rates(RUN, [make_reading(20), make_reading(60)]) == (None, None)
    unsaved = msgspec.structs.replace(RUN, adapter_step=None)
    assert find_rates(unsaved, [make_reading(0), make_reading(20)])[1] is None


def test_readings_of_other_rows_are_not_compared():
    other = msgspec.structs.replace(make_reading(0), sample="of another seed")
    before, after = find_rates(RUN, [other, make_reading(40)])
    assert before is None and after is not None
