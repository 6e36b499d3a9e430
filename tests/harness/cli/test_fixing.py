"""`check --fix`: what is changed in the YAML file, and what is only shown."""

from __future__ import annotations

import subprocess

from preflight_ocr.harness.facts import KeyFact, Site
from tests.specimens import HEALTHY, altered
from tests.support.engine import MISALIGNED, UNKNOWN_KEY


def test_fix_changes_what_is_safe_and_shows_the_diff(run, engine, config):
    config.write_text(config.read_text(encoding="utf-8") + "lora: {rank: 4}  # mine\n", encoding="utf-8")
    engine.facts = altered(HEALTHY, UNKNOWN_KEY | MISALIGNED)
    result = run("check", config, "--fix")
    assert result.exit_code == 12
    assert "+lora: {r: 4}  # mine" in result.stdout and "Fixed: CFG004, CFG001" in result.stdout
    text = config.read_text(encoding="utf-8")
    assert "lora: {r: 4}  # mine" in text and "eval_steps: 300" in text and "save_steps: 300" in text


def test_fix_leaves_a_file_alone_in_which_nothing_is_safe_to_change(run, engine, config):
    before = config.read_bytes()
    assert "Nothing here can be fixed" in run("check", config, "--fix").stdout
    assert config.read_bytes() == before


def test_after_fix_the_next_step_is_what_is_left(run, engine, config):
    engine.facts = altered(HEALTHY, UNKNOWN_KEY | MISALIGNED)
    config.write_text(config.read_text(encoding="utf-8") + "lora: {rank: 4}\n", encoding="utf-8")
    said = run("check", config, "--fix").stdout.splitlines()[-1]
    assert said == "Next: give the same command again, without --fix: what was mended is checked then"


def test_what_a_finding_proposes_is_written_only_with_unsafe_fixes(run, engine, config):
    engine.facts = altered(HEALTHY, {"configuration.warmup_steps": 10_000})
    before = config.read_bytes()
    assert "Left as it is: CFG003; --unsafe-fixes writes" in run("check", config, "--fix").stdout
    assert config.read_bytes() == before
    assert "Fixed: CFG003" in run("check", config, "--unsafe-fixes").stdout
    assert "warmup_steps:" in config.read_text(encoding="utf-8")


def test_what_cannot_be_written_at_all_is_not_offered(run, engine, config):
    config.write_text(config.read_text(encoding="utf-8") + "lora: {rank: 4, r: 8}\n", encoding="utf-8")
    engine.facts = altered(HEALTHY, UNKNOWN_KEY)
    result = run("check", config, "--fix")
    assert "Not fixed: CFG001" in result.stderr and result.stderr.count("CFG001, ") == 1
    assert "--unsafe-fixes" not in result.stdout and "Nothing here can be fixed" in result.stdout


def test_keys_that_change_nothing_are_deleted_only_with_unsafe_fixes(run, engine, config):
    config.write_text(config.read_text(encoding="utf-8") + "lora: {r: 4, use_dora: true}\n", encoding="utf-8")
    key = KeyFact(path="lora.use_dora", nearest="", detail="nothing reads it")
    engine.facts = altered(HEALTHY, {"configuration.ineffective_keys": (key,)})
    before = config.read_bytes()
    assert "Left as it is: CFG002" in run("check", config, "--fix").stdout
    assert config.read_bytes() == before
    assert "Fixed: CFG002" in run("check", config, "--unsafe-fixes").stdout
    assert config.read_text(encoding="utf-8").endswith("lora: {r: 4}\n")


def test_what_is_in_python_is_printed_as_a_patch_that_git_applies(run, engine, config, tmp_path):
    source = tmp_path / "mine.py"
    source.write_text('def save(path):\n    return open(path, "w")\n', encoding="utf-8")
    site = Site(file="mine.py", line=2, code='return open(path, "w")', kind="legacy", runs=None)
    engine.facts = altered(HEALTHY, {"subject.files_without_utf8": (site,)})
    config.write_text(config.read_text(encoding="utf-8") + f"subject: {{path: '{tmp_path}'}}\n", encoding="utf-8")
    before = source.read_bytes()
    assert '+    return open(path, "w", encoding="utf-8")' in run("check", config, "--fix").stdout
    run("check", config, "--patch", tmp_path / "it.patch")
    assert source.read_bytes() == before
    subprocess.run(["git", "init", "-q", "."], cwd=tmp_path, check=True)
    subprocess.run(["git", "apply", "it.patch"], cwd=tmp_path, check=True)
    assert source.read_text(encoding="utf-8").endswith('    return open(path, "w", encoding="utf-8")\n')
