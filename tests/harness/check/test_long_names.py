"""Names that no file system takes, in every place of the configuration that names a file."""

from __future__ import annotations

import pytest
import yaml

from preflight_ocr.fixtures.corpus.plant import write_project
from preflight_ocr.harness.check.check import check
from preflight_ocr.harness.config.config import load_config
from preflight_ocr.harness.config.errors import UserError
from preflight_ocr.harness.judging.findings import Crashed
from preflight_ocr.reports import terminal

KEYS = (
    "model.base_model", "model.cache_dir", "model.revision", "subject.path", "subject.collator", "training.output_dir",
    "training.resume_from_checkpoint", "data.train_path", "data.val_path", "data.cache_dir",
)  # fmt: skip


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("name", ["a/" * 3000, *(pytest.param(c * 300, marks=pytest.mark.slow) for c in "x[")])
def test_a_name_that_is_too_long_is_a_sentence_or_a_finding_and_never_a_good_word(tmp_path, key, name):
    path = write_project(tmp_path, [])
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    section, _, field = key.partition(".")
    document.setdefault(section, {})[field] = name
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    try:
        report = check(load_config(path), level="read")
    except UserError as error:
        assert str(error)
        return
    assert not report.count(Crashed)
    assert "CLEAR" not in terminal.render(report)
    if key in ("model.base_model", "data.train_path", "data.val_path"):
        assert report.exit_code
