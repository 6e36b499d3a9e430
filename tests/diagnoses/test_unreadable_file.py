from __future__ import annotations

import pytest

from preflight_ocr.harness.facts import Unknown
from preflight_ocr.harness.judging.findings import Skipped
from preflight_ocr.probes.reading.dataset import look_at_dataset
from preflight_ocr.probes.reading.tokenizer import look_at_tokenizer
from tests.specimens import altered
from tests.specimens.unreadable_file import HEALTHY, SICK


def test_the_place_in_the_file_is_said(findings_of):
    [finding] = findings_of("unreadable_file", SICK)
    assert finding.summary.startswith("tokenizer.json:3:")
    assert findings_of("unreadable_file", HEALTHY) == ()


@pytest.mark.parametrize("text", ['[{"image_path": "a.png", "te', "{}", "true", ""])
def test_rows_that_cannot_be_parsed_are_a_finding(text, findings_of, write_data):
    dataset = look_at_dataset(write_data(text), None)
    [finding] = findings_of("unreadable_file", altered(HEALTHY, {"dataset": dataset}))
    assert "metadata.json" in finding.summary


def test_a_tokenizer_that_is_no_utf_8_is_a_finding(findings_of, tmp_path):
    (tmp_path / "tokenizer.json").write_bytes(b'{"model": {"vocab": {"\xff": 1}}}')
    tokenizer = look_at_tokenizer(tmp_path)
    [finding] = findings_of("unreadable_file", altered(HEALTHY, {"tokenizer": tokenizer}))
    assert "tokenizer.json" in finding.summary


def test_code_that_does_not_parse_is_a_finding(findings_of):
    broken = "modeling.py:7: not Python that this interpreter can read: invalid syntax"
    [finding] = findings_of("unreadable_file", altered(HEALTHY, {"repository.unread_code": (broken,)}))
    assert finding.summary == f"{broken}."


def test_files_that_are_not_there_are_skipped_with_the_reason(outcome_of):
    absent = Unknown(reason="data: no such folder")
    assert outcome_of("unreadable_file", altered(HEALTHY, {"dataset": absent})) == Skipped("data: no such folder")
