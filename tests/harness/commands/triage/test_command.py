"""`preflight diagnose`: its options, words and exit codes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from preflight_ocr.fixtures.corpus.plant import write_project
from preflight_ocr.harness.cli import preflight
from tests.support.places import ROOT

PASTE = "TypeError: DeepseekOCRForCausalLM.forward() got an unexpected keyword argument 'pixel_values'\n"


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def invoke(*words, paste=None):
        words = ["diagnose", *map(str, words)]
        return CliRunner().invoke(preflight, words, input=paste, catch_exceptions=False)

    return invoke


@pytest.mark.parametrize("words", [(), ("-",)])
def test_standard_input_is_read_without_a_file(run, words):
    result = run(*words, paste=PASTE)
    assert result.exit_code == 12
    assert "FWD001 unaccepted_batch_key" in result.stdout
    assert "Prove: preflight check CONFIG --only FWD001" in result.stdout
    assert "More:  preflight explain FWD001" in result.stdout


def test_a_file_is_read_and_every_part_of_the_answer_is_there(run, tmp_path):
    (tmp_path / "train.log").write_text(PASTE + "KeyError: 'a'\n", encoding="utf-8")
    result = run("train.log")
    assert all(
        word in result.stdout for word in ("line 1:", "Cause:", "Check:", "line 2: KeyError: 'a'", "not recognised")
    )
    assert result.stdout.startswith("1 recognised, 1 not recognised\ntrain.log")


def test_a_stranger_exits_with_3_and_says_not_recognised(run):
    result = run(paste="ZeroDivisionError: division by zero\n")
    assert (result.exit_code, "not recognised" in result.stdout) == (3, True)


def test_an_empty_text_is_a_usage_error(run):
    result = run(paste="\n \n")
    assert (result.exit_code, "nothing to read" in result.stderr) == (2, True)


def test_a_file_that_is_not_there_is_a_usage_error(run):
    assert run("absent.log").exit_code == 2


def test_a_configuration_in_place_of_the_log_is_told_where_it_belongs(run, tmp_path):
    (tmp_path / "c.yaml").write_text("model: {base_model: x}", encoding="utf-8")
    result = run("c.yaml")
    assert (result.exit_code, "preflight diagnose - c.yaml" in result.stderr) == (2, True)


def test_json_goes_to_a_file_or_to_standard_output(run, tmp_path):
    run("--json", "o/a.json", paste=PASTE)
    written = json.loads((tmp_path / "o" / "a.json").read_text(encoding="utf-8"))
    printed = json.loads(run("--json", "-", paste=PASTE).stdout)
    assert written == printed
    assert written["recognised"][0]["pointers"][0]["code"] == "FWD001"


def test_the_vocabulary_may_be_given(run):
    line = "{'loss': 9.0, 'grad_norm': 1.0}"
    assert "ln(4000) = 8.29" in run("--vocabulary", 4000, paste=line).stdout
    assert run("--vocabulary", 40000, paste=line).exit_code == 0


def test_the_vocabulary_comes_from_the_models_own_files(run, tmp_path):
    config = write_project(tmp_path, [])
    size = json.loads((ROOT / "fixtures/models/deepseek_ocr/config.json").read_text(encoding="utf-8"))
    vocabulary = size.get("vocab_size") or size["language_config"]["vocab_size"]
    result = run("-", config, "--level", "read", paste="{'loss': 15.7, 'grad_norm': 1.0}")
    assert f"over {vocabulary} tokens" in result.stdout
    assert "could not be run" in result.stdout  # nothing is run at this level, so nothing is confirmed


def test_a_configuration_confirms_what_it_can_by_reading(run, tmp_path):
    message = (
        "ValueError: --load_best_model_at_end requires the saving steps to be a round multiple of the evaluation steps"
    )
    sick = write_project(tmp_path / "sick", ["chain-21"])
    healthy = write_project(tmp_path / "healthy", [])
    confirmed, refuted = run("-", sick, paste=message), run("-", healthy, paste=message)
    assert (confirmed.exit_code, "CFG004 misaligned_save_steps: CONFIRMED" in confirmed.stdout) == (12, True)
    assert (refuted.exit_code, "not confirmed: the contract holds" in refuted.stdout) == (0, True)


def test_foreign_code_is_not_run_without_trust(run, tmp_path):
    config = write_project(tmp_path, ["chain-03"])
    text = config.read_text(encoding="utf-8").replace("trust_remote_code: true", "trust_remote_code: false")
    config.write_text(text, encoding="utf-8")
    result = run("-", config, paste=PASTE)
    assert "could not be run" in result.stdout
    assert "without trust" in result.stdout


@pytest.mark.slow
def test_a_run_confirms_the_very_fault_that_raised(run, tmp_path):
    result = run("-", write_project(tmp_path, ["chain-03"]), "--trust", paste=PASTE)
    assert "FWD001 unaccepted_batch_key: CONFIRMED" in result.stdout
    assert result.exit_code == 12


def test_diagnosing_imports_nothing_heavy():
    program = (
        "import io, sys, preflight_ocr.harness.commands.triage as t; t.diagnose(io.BytesIO(b'CUDA out of memory'))\n"
        "assert not {'torch', 'transformers', 'peft', 'PIL', 'numpy'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
