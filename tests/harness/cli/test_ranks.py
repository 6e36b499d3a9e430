"""The gate of a run of several processes: one decides, all obey, one speaks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from preflight_ocr.fixtures.pages import render_pages
from tests.support.held import list_words, write_held_project
from tests.support.places import MODELS
from tests.support.ranks import RUN_TRAINING, Ended, find_port, launch, start, wait

GATE = """
import os, sys
from pathlib import Path
import click
from preflight_ocr.harness.cli.options import Refusal
from preflight_ocr.harness.cli.ranks import decide_once, quieten_others
from preflight_ocr.harness.config.config import load_config

def decide(subject):
    print("decided", flush=True)
    how = sys.argv[1]
    if how == "exit": raise click.exceptions.Exit(12)
    if how == "refuse": raise Refusal("there is nothing to train")
    if how == "crash": raise RuntimeError("a mistake of ours")
    if how == "die": os._exit(9)
    return "clear"

@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1)
def main(words):
    quieten_others()
    print("gone on with", decide_once(lambda: load_config(Path(sys.argv[2])), decide)[1])

main()
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}", encoding="utf-8")
    path = tmp_path / "preflight.yaml"
    path.write_text("model: {base_model: model}\ntraining: {output_dir: out}\n", encoding="utf-8")
    return path


@pytest.mark.slow
def test_one_decides_and_all_go_on(config, tmp_path):
    first, second, third = launch(["-c", GATE, "clear", str(config)], tmp_path, size=3)
    assert (first.code, second.code, third.code) == (0, 0, 0)
    assert first.out == "decided\ngone on with clear\n"
    assert second.out == second.err == third.out == third.err == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "code", "said"),
    [("exit", 12, ""), ("refuse", 2, "there is nothing to train"), ("crash", 1, "a mistake of ours")],
)
def test_what_ends_the_first_ends_all_with_its_code_and_it_alone_says_why(how, code, said, config, tmp_path):
    first, second = launch(["-c", GATE, how, str(config)], tmp_path)
    assert (first.code, second.code) == (code, code)
    assert first.out == "decided\n" and said in first.err
    assert second.out == second.err == ""


@pytest.mark.slow
def test_a_configuration_that_nobody_can_read_is_told_once(tmp_path):
    first, second = launch(["-c", GATE, "clear", str(tmp_path / "none.yaml")], tmp_path)
    assert (first.code, second.code) == (2, 2)
    assert "there is no such file" in first.err and second.err == ""


@pytest.mark.slow
def test_a_machine_with_other_files_than_those_that_were_checked_is_named_and_none_goes_on(config, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    other = tmp_path / "elsewhere" / "preflight.yaml"
    other.write_text(config.read_text(encoding="utf-8").replace("model}", "../model}") + "lora: {r: 4}\n", "utf-8")
    first, second = launch(
        ["-c", GATE, "clear", str(config)], tmp_path, each={1: ["-c", GATE, "clear", str(other)]}, LOCAL_RANK="0"
    )
    assert (first.code, second.code) == (2, 2)
    assert "has other configuration" in first.err and second.err == ""


@pytest.mark.slow
def test_a_first_process_that_dies_leaves_nobody_waiting(config, tmp_path):
    begun = time.monotonic()
    first, second = launch(["-c", GATE, "die", str(config)], tmp_path)
    assert first.code == 9 and second.code == 2
    assert "rank 1 on" in second.err and "cannot reach each other" in second.err
    assert time.monotonic() - begun < 60


# ---- the real commands


@pytest.fixture
def project(tmp_path: Path) -> Path:
    render_pages(tmp_path / "rows", count=4, seed=1, kind="words")
    document = {
        "model": {"base_model": str(MODELS / "deepseek_ocr"), "torch_dtype": "float32", "attn_implementation": "eager",
                  "trust_remote_code": True},
        "lora": {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"]},
        "training": {"output_dir": "out", "per_device_train_batch_size": 1, "max_steps": 2, "save_steps": 2,
                     "logging_steps": 1, "report_to": "none"},
        "data": {"train_path": "rows", "preprocessing": {"base_size": 128, "crop_mode": False}},
    }  # fmt: skip
    path = tmp_path / "project.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


def torchrun(words: list[str], folder: Path, launcher: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """The launcher with two processes of a program in a file, its streams in `folder`."""
    program = folder / "program.py"
    program.write_text(RUN_TRAINING, encoding="utf-8")
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "XDG_STATE_HOME": str(folder / "state"),
        "PYTHONUNBUFFERED": "1",
    }
    torch_own = ("torch.distributed.run", "--nproc_per_node", "2", "--master_port", str(find_port()))
    with (folder / "out0").open("w") as out, (folder / "err0").open("w") as err:
        return subprocess.Popen(
            [sys.executable, "-m", *(launcher or torch_own), str(program), *words],
            env=environment, stdout=out, stderr=err, text=True, cwd=folder, start_new_session=True,
        )  # fmt: skip


def finish(process: subprocess.Popen[str], folder: Path) -> Ended:
    (ended,) = wait([process], folder)
    return ended


@pytest.mark.slow
def test_torchrun_checks_once_trains_with_both_and_writes_once(project, tmp_path):
    ended = finish(torchrun(["--config", str(project)], tmp_path), tmp_path)
    assert ended.code == 0, ended
    assert ended.out.count("CLEAR") == 1 and ended.out.count("Trained 2 steps") == 1
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"adapter", "checkpoint-2", "clearance.json", "logs"}
    provenance = json.loads((tmp_path / "out" / "adapter" / "preflight.json").read_text(encoding="utf-8"))
    assert provenance["facts_digest"]
    state = json.loads((tmp_path / "out" / "checkpoint-2" / "trainer_state.json").read_text(encoding="utf-8"))
    assert state["epoch"] == 1.0, "two steps of two processes are the four rows"
    # Now that it is cleared, accelerate's launcher starts on the same clearance.
    launcher = (
        "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1", "--mixed_precision",
        "no", "--dynamo_backend", "no", "--main_process_port", str(find_port()),
    )  # fmt: skip
    again = finish(torchrun(["--config", str(project)], tmp_path, launcher), tmp_path)
    assert again.code == 0, again
    assert again.out.count("nothing changed since") == 1 and again.out.count("Trained 2 steps") == 1


@pytest.mark.slow
def test_torchrun_ends_both_with_the_code_of_the_verdict(project, tmp_path):
    document = yaml.safe_load(project.read_text(encoding="utf-8"))
    document["data"]["preprocessing"]["base_size"] = 130
    project.write_text(yaml.safe_dump(document), encoding="utf-8")
    ended = finish(torchrun(["--config", str(project)], tmp_path), tmp_path)
    assert ended.code == 1  # torchrun's own, whatever its processes ended with
    assert ended.err.count("exitcode  : 12") == 2
    assert ended.err.count("Training was not started.") == 1


@pytest.mark.slow
def test_a_command_behind_the_dashes_is_checked_once_and_starts_in_no_process_where_it_is_refused(tmp_path):
    (tmp_path / "held").mkdir()
    held = write_held_project(tmp_path / "held")
    words = [RUN_TRAINING, "--trust", "--", *list_words(held, "train_messages.py", "frozen_adapter")]
    first, second = launch(["-c", *map(str, words)], tmp_path)
    assert (first.code, second.code) == (12, 12)
    assert first.out.count("REFUSED: 1 BLOCKER") == 1 and "Training was not started." in first.err
    assert second.out == second.err == ""


@pytest.mark.slow
def test_a_launcher_that_is_asked_to_stop_leaves_a_checkpoint_of_one_step(project, tmp_path):
    document = yaml.safe_load(project.read_text(encoding="utf-8"))
    document["training"] |= {"max_steps": 100_000, "save_steps": 100_000}
    project.write_text(yaml.safe_dump(document), encoding="utf-8")
    process = torchrun(["--config", str(project)], tmp_path)
    log, until = tmp_path / "out" / "logs" / "training.log", time.monotonic() + 200
    while not (log.exists() and "step 3:" in log.read_text(encoding="utf-8")) and time.monotonic() < until:
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    ended = finish(process, tmp_path)
    (checkpoint,) = (tmp_path / "out").glob("checkpoint-*")
    assert {path.name for path in checkpoint.glob("rng_state*")} == {"rng_state_0.pth", "rng_state_1.pth"}
    assert ended.err.count("To go on: write") == 1 and str(checkpoint.name) in ended.err


@pytest.mark.slow
def test_a_process_that_is_lost_in_training_ends_the_other(project, tmp_path):
    document = yaml.safe_load(project.read_text(encoding="utf-8"))
    document["training"] |= {"max_steps": 100_000, "save_steps": 100_000}
    project.write_text(yaml.safe_dump(document), encoding="utf-8")
    port = find_port()
    running = [start(["-c", RUN_TRAINING, "--config", str(project)], rank, 2, port, tmp_path) for rank in range(2)]
    log, until = tmp_path / "out" / "logs" / "training.log", time.monotonic() + 200
    while not (log.exists() and "step 3:" in log.read_text(encoding="utf-8")) and time.monotonic() < until:
        time.sleep(0.2)
    running[1].kill()
    first, second = wait(running, tmp_path, seconds=90)
    assert second.code == -signal.SIGKILL
    assert first.code == 1 and "Training failed" in first.err
