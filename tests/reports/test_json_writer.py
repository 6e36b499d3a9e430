from __future__ import annotations

import datetime
import json
from pathlib import Path

import msgspec
import pytest

from preflight_ocr.reports import json_writer

SCHEMA = Path(__file__).with_name("report.schema.json")


def test_the_outward_schema_is_frozen():
    """To change the shape, raise `schema_version` and write the new schema into the golden file."""
    schema = json.loads(msgspec.json.encode(msgspec.json.schema(json_writer.Document)))
    assert schema == json.loads(SCHEMA.read_text(encoding="utf-8"))


def test_what_is_written_fits_the_schema(report):
    document = msgspec.json.decode(json_writer.render(report), type=json_writer.Document)
    assert document.schema_version == 3
    assert document.facts_digest == report.facts.digest()


def test_the_document_says_what_the_report_says(report):
    document = json.loads(json_writer.render(report))
    assert list(document) == [
        "schema_version", "verdict", "headline", "why", "exit_code", "findings", "outcomes", "open",
        "waiver_problems", "facts_digest", "environment", "timings",
        "preflight", "checked", "seconds", "reused",
    ]  # fmt: skip
    assert document["verdict"] == "refused"
    assert document["findings"][0] == {
        "code": "COL001",
        "name": "broadcast_mask",
        "severity": "BLOCKER",
        "basis": "ran",
        "summary": "seen 1, expected 19",
        "evidence": ["row 0: 1 entry for 19 tokens"],
        "fix": {"instruction": "Build one entry per token.", "snippet": "mask = input_ids == image_token_id"},
        "docs": "docs/diagnoses.md#col001",
        "keys": [],
    }
    assert [(o["id"], o["outcome"], o["reason"]) for o in document["outcomes"]][2:4] == [
        ("COL004-shifted_mask", "broken", "a consequence of COL001"),
        ("DEV001-hard_coded_device", "skipped", "no accelerator here"),
    ]


def test_a_report_that_cannot_be_written_leaves_nothing_behind(report, tmp_path):
    (tmp_path / "report.json").mkdir()
    with pytest.raises(OSError):
        json_writer.write(report, tmp_path / "report.json")
    assert [p.name for p in tmp_path.iterdir()] == ["report.json"]


def test_when_the_check_began_and_how_long_it_took_is_written(report):
    document = msgspec.json.decode(json_writer.render(report.time(12.34)), type=json_writer.Document)
    assert document.seconds == 12.3
    assert document.checked is not None and document.checked.utcoffset() == datetime.timedelta()
    assert document.preflight


def test_a_document_of_the_version_before_can_still_be_read(report, tmp_path):
    document = json.loads(json_writer.render(report)) | {"schema_version": 2}
    for name in ("preflight", "checked", "seconds", "reused"):
        del document[name]
    (tmp_path / "old.json").write_text(json.dumps(document), encoding="utf-8")
    assert json_writer.read(tmp_path / "old.json").checked is None
