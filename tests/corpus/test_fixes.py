"""The printed fix, applied as it is printed: the finding is gone and no other came."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from preflight_ocr.fixtures.corpus.plant import write_project
from preflight_ocr.fixtures.corpus.upstream import find_upstream_faults
from preflight_ocr.harness.check.check import check
from preflight_ocr.harness.config.config import load_config

# Faults whose fix is a piece of YAML: what is printed is merged into the project's file.
IN_YAML = (("for-24", "florence2"), ("web-21", "deepseek_ocr"))


def merge(document: dict[str, Any], changes: Mapping[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(document.get(key), dict):
            merge(document[key], value)
        else:
            document[key] = value


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "model"), IN_YAML)
def test_a_fix_that_is_yaml_is_merged_and_the_finding_is_gone_without_a_new_one(fault, model, tmp_path, sandbox):
    project = write_project(tmp_path, [fault], model=model)
    [finding] = check(load_config(project), level="ran", trust=True, sandbox=sandbox).findings
    document = yaml.safe_load(project.read_text(encoding="utf-8"))
    merge(document, yaml.safe_load(finding.fix.snippet))
    project.write_text(yaml.safe_dump(document), encoding="utf-8")
    after = check(load_config(project), level="ran", trust=True, sandbox=sandbox).findings
    assert {found.name for found in after} <= set(find_upstream_faults(model))
