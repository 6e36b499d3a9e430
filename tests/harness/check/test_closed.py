"""A healthy part of the user's that writes where a check does not let it: no crash of theirs, and never clear."""

from __future__ import annotations

import json

import pytest
import yaml

from preflight_ocr.fixtures.corpus.plant import write_project
from preflight_ocr.harness.check.check import check
from preflight_ocr.harness.config.config import load_config
from preflight_ocr.harness.isolation.closing import measure_landlock

PARTS = """
from pathlib import Path
from preflight_ocr.harness.training.train import build_own_collator
from preflight_ocr.harness.training.model import load_processor

class Writing:
    def __init__(self, inner):
        self.inner = inner

    def __call__(self, rows):
        Path(PLACE).write_text("kept for the next time")
        return self.inner(rows)

def collate(config, processor, model):
    return Writing(build_own_collator(config, model, load_processor(config)))
"""


@pytest.mark.slow
@pytest.mark.skipif(measure_landlock() < 3, reason="this kernel has no Landlock of version 3")
def test_a_collator_that_writes_to_a_fixed_place_is_told_so_and_not_called_broken(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    path = write_project(tmp_path, [])
    (tmp_path / "writing.py").write_text(PARTS.replace("PLACE", json.dumps(str(outside / "cache"))), encoding="utf-8")
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    document["subject"] = {"collator": "writing:collate"}
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    report = check(load_config(path), trust=True)
    assert "COL017" not in [finding.code for finding in report.findings], report.findings
    assert (report.verdict, report.exit_code) == ("blind", 3), report.headline
    assert f"{outside / 'cache'} is outside of it" in report.reason_why
