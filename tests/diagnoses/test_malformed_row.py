from __future__ import annotations

import json

import pytest

from preflight_ocr.harness.facts import Dataset
from preflight_ocr.probes.reading.dataset import look_at_dataset
from tests.specimens import altered
from tests.specimens.malformed_row import HEALTHY, SICK


def test_rows_that_name_no_picture_are_reported_with_what_they_have(findings_of):
    [finding] = findings_of("malformed_row", SICK)
    assert "the rows have scan, text" in finding.summary
    assert findings_of("malformed_row", HEALTHY) == ()


@pytest.mark.parametrize(
    "row",
    [
        True,
        "a.png",
        ["a.png"],
        7,
        None,
        {"image_path": ["a.png", "b.png"], "text": "one"},
        {"image_path": None, "text": "one"},
    ],
)
def test_a_row_that_is_no_row_is_found_in_the_file(row, findings_of, tmp_path, write_data):
    config = write_data(json.dumps([{"image_path": "a.png", "text": "one"}, row]))
    dataset = look_at_dataset(config, None)
    assert isinstance(dataset, Dataset)
    [finding] = findings_of("malformed_row", altered(HEALTHY, {"dataset": dataset}))
    assert "row 1" in finding.evidence[0]


def test_a_file_without_rows_is_reported(findings_of, write_data):
    dataset = look_at_dataset(write_data("[]"), None)
    [finding] = findings_of("malformed_row", altered(HEALTHY, {"dataset": dataset}))
    assert "lists no row" in finding.summary


def test_a_row_of_text_alone_beside_pages_is_left_alone(findings_of, write_data):
    dataset = look_at_dataset(write_data(json.dumps([{"image_path": "a.png", "text": "one"}, {"text": "two"}])), None)
    assert findings_of("malformed_row", altered(HEALTHY, {"dataset": dataset})) == ()
