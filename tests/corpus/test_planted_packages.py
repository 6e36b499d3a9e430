"""Faults that lie in the installed packages, planted where packages are looked for: beside the project there is no way."""

from __future__ import annotations

import sys
from importlib.metadata import version

from preflight_ocr.fixtures.corpus.plant import write_project
from preflight_ocr.harness.check.check import check
from preflight_ocr.harness.config.config import load_config


def test_a_torchvision_built_for_another_torch_is_the_one_root_cause(tmp_path, monkeypatch):
    """web-20: the package's metadata alone; it is never imported."""
    metadata = tmp_path / "site" / "torchvision-0.19.1.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text(
        "Metadata-Version: 2.1\nName: torchvision\nVersion: 0.19.1\nRequires-Dist: torch (==2.4.1)\n", encoding="utf-8"
    )
    assert not version("torch").startswith("2.4.")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site"), *sys.path])
    report = check(load_config(write_project(tmp_path / "project", ())), level="read", trust=True)
    assert [finding.name for finding in report.findings] == ["mismatched_torchvision"]
