"""The commands with a stand-in for the engine, and a YAML file to give them."""

from __future__ import annotations

import sys

import pytest
from click.testing import CliRunner

from preflight_ocr.harness import cli
from tests.support.engine import Engine


@pytest.fixture
def engine(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    engine = Engine()
    monkeypatch.setitem(sys.modules, "preflight_ocr.harness.check.check", engine)
    monkeypatch.setattr("sys.excepthook", sys.excepthook)
    return engine


@pytest.fixture
def config(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}", encoding="utf-8")
    path = tmp_path / "preflight.yaml"
    text = "model: {base_model: model, trust_remote_code: true}\ntraining: {output_dir: out}\n"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def invoke(*words, command=cli.preflight):
        return CliRunner().invoke(command, [str(word) for word in words], catch_exceptions=False)

    return invoke
