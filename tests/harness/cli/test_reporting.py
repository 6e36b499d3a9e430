"""`preflight report`: options, words and exit codes."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from preflight_ocr.harness import cli
from preflight_ocr.harness.facts import KeyFact, Unknown
from preflight_ocr.harness.verdict.contracts import derive, judge_all
from preflight_ocr.harness.verdict.report import Report
from preflight_ocr.reports import json_writer
from tests.specimens import HEALTHY, altered


def _write(path, facts):
    json_writer.write(Report.build(facts, judge_all(derive(facts), facts), config="run.yaml", level="ran"), path)
    return path


@pytest.fixture
def healthy(tmp_path):
    return _write(tmp_path / "healthy.json", HEALTHY)


@pytest.fixture
def sick(tmp_path):
    keys = (KeyFact(path="lora.rank", nearest="lora.r", detail=""),)
    return _write(tmp_path / "sick.json", altered(HEALTHY, {"configuration.unknown_keys": keys}))


def _run(*words):
    return CliRunner().invoke(cli.preflight, [str(word) for word in words], catch_exceptions=False)


def test_a_new_finding_sets_the_exit_code(healthy, sick, tmp_path):
    result = _run("report", "--compare", healthy, sick, "--html", tmp_path / "page.html")
    assert result.exit_code == 11
    assert result.stdout.startswith("CLEAR: 1 new, 0 fixed")
    assert "NEW (1)\n  MAJOR CFG001 unknown_key" in result.stdout
    assert "CFG001" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_fixed_finding_is_no_reason_to_stop(healthy, sick):
    result = _run("report", "--compare", sick, healthy)
    assert result.exit_code == 0
    assert "FIXED (1)" in result.stdout


def test_what_could_not_be_run_any_more_is_told_and_nothing_of_it_is_called_fixed(healthy, tmp_path):
    blind = _write(tmp_path / "blind.json", altered(HEALTHY, {"forward": Unknown(reason="the child was killed")}))
    result = _run("report", "--compare", healthy, blind)
    assert "NO LONGER LOOKED AT" in result.stdout
    assert "  The child was killed\n" in result.stdout
    assert "    FWD006-failing_forward: kept -> skipped\n" in result.stdout
    assert "FIXED" not in result.stdout


@pytest.mark.parametrize("text", [None, "", "{}", '{"schema_version": 2}', "not json", b"\xff\xfe"])
def test_a_file_that_is_no_report_is_refused_with_what_to_do(healthy, tmp_path, text):
    other = tmp_path / "other.json"
    if text is not None:
        other.write_bytes(text if isinstance(text, bytes) else text.encode())
    result = _run("report", "--compare", healthy, other)
    assert result.exit_code == 2
    assert "other.json" in result.stderr
    assert "preflight check --json" in result.stderr or "cannot be read" in result.stderr


def test_without_two_files_the_command_says_what_it_wants():
    result = _run("report")
    assert result.exit_code == 2
    assert "--compare" in result.stderr
