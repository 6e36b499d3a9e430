"""The command, in this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner

from preflight_ocr.harness.cli import preflight
from preflight_ocr.harness.commands.prepare import crew


@pytest.fixture
def packages() -> None:
    """Skip where what the whole command needs is not installed."""
    pytest.importorskip("imagehash")
    pytest.importorskip("datasets")


@pytest.fixture
def in_this_process(packages: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """No processes are started: they take seconds, and one test is theirs."""
    monkeypatch.setattr(crew, "count_cores", lambda: 0)


@pytest.fixture
def run(in_this_process: None) -> Callable[..., Any]:
    def run(*words: object, code: int = 0) -> str:
        done = CliRunner().invoke(preflight, ["prepare-data", *map(str, words)], catch_exceptions=False)
        assert done.exit_code == code, done.output
        return done.output

    return run
