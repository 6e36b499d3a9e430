"""What a run does when it is stopped, killed, started twice, or finds a checkpoint that is not whole."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time

import msgspec
import pytest

from preflight_ocr.harness.config.config import load_config
from preflight_ocr.harness.facts.history import read_history
from preflight_ocr.harness.training import checkpoints
from preflight_ocr.harness.training.checkpoints import CheckpointError
from preflight_ocr.harness.training.lock import PLACE, FolderInUse, hold
from preflight_ocr.harness.training.train import train
from tests.campaign.training import read_result, write_project
from tests.support.places import ROOT


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of two steps with a checkpoint after each."""
    config = write_project(tmp_path_factory.mktemp("run"), steps=2)
    train(load_config(config))
    return config


@pytest.fixture
def run(finished, tmp_path):
    """A copy of it that may be damaged, and its configuration."""
    shutil.copytree(finished.parent / "out", tmp_path / "out")
    config = load_config(finished)
    training = msgspec.structs.replace(config.training, output_dir=tmp_path / "out")
    return msgspec.structs.replace(config, training=training)


def test_a_finished_run_is_not_trained_again_and_says_so(run, caplog):
    before = (run.training.output_dir / "adapter" / "adapter_model.safetensors").stat().st_mtime_ns
    result = train(run)
    assert result.was_finished and result.steps == 2
    assert (run.training.output_dir / "adapter" / "adapter_model.safetensors").stat().st_mtime_ns == before
    assert "nothing to train" in (run.training.output_dir / "logs" / "training.log").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "name",
    [
        "trainer_state.json",
        "adapter_config.json",
        "adapter_model.safetensors",
        "optimizer.pt",
        "scheduler.pt",
        "rng_state.pth",
    ],
)
@pytest.mark.parametrize("damage", ["halved", "removed"])
def test_a_torn_newest_checkpoint_is_passed_over_and_said(run, caplog, name, damage):
    path = run.training.output_dir / "checkpoint-2" / name
    if damage == "halved":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        path.unlink()
    chosen = checkpoints.choose(run)
    assert chosen is not None and chosen.name == "checkpoint-1"
    assert "checkpoint-2 is not whole" in caplog.text and "going on from" in caplog.text


def test_a_checkpoint_asked_for_by_its_path_has_to_be_whole(run, finished):
    torn = run.training.output_dir / "checkpoint-2"
    (torn / "optimizer.pt").unlink()
    training = msgspec.structs.replace(run.training, resume_from_checkpoint=str(torn))
    with pytest.raises(CheckpointError, match=r"optimizer\.pt is missing"):
        checkpoints.choose(msgspec.structs.replace(run, training=training))


def test_where_no_checkpoint_is_whole_training_begins_anew_and_says_so(run, caplog):
    for checkpoint in run.training.output_dir.glob("checkpoint-*"):
        (checkpoint / "trainer_state.json").write_text('{"global_step": Infinity}', encoding="utf-8")
    assert checkpoints.choose(run) is None
    assert "training begins anew" in caplog.text


def test_a_second_run_in_one_folder_is_refused_until_the_first_is_gone(tmp_path):
    program = "import sys, time; from pathlib import Path; from preflight_ocr.harness.training.lock import hold\n"
    program += "with hold(Path(sys.argv[1])): print('held', flush=True); time.sleep(600)"
    words = [sys.executable, "-c", program, str(tmp_path)]
    first = subprocess.Popen(words, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert first.stdout is not None and first.stdout.readline() == b"held\n"
    with pytest.raises(FolderInUse, match=f"process {first.pid}"), hold(tmp_path):
        pass
    first.kill()
    first.communicate()
    with hold(tmp_path):
        assert (tmp_path / PLACE).is_file()


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_signal_ends_a_run_behind_the_step_with_a_checkpoint_and_a_sentence(tmp_path, finished, number):
    """Through the function that the command calls, so that the exit code is the command's."""
    config = write_project(tmp_path, steps=400)
    text = config.read_text(encoding="utf-8").replace('"save_steps": 1', '"save_steps": 1000')
    config.write_text(text, encoding="utf-8")
    program = (
        "import sys; from pathlib import Path; import click, torch; torch.set_num_threads(1)\n"
        "from preflight_ocr.harness.cli.steps import load, start_training\n"
        "run = click.Command('run', callback=lambda: start_training(load(Path(sys.argv[1])), None))\n"
        "run.main([])"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(config)], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    limit = time.monotonic() + 300
    while not getattr(read_history(tmp_path / "out"), "entries", ()) and time.monotonic() < limit:
        time.sleep(0.1)
    process.send_signal(number)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 128 + number, said
    (checkpoint,) = (tmp_path / "out").glob("checkpoint-*")
    assert str(checkpoint).encode() in said and b"resume_from_checkpoint: true" in said
    assert not (tmp_path / "out" / "adapter").exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the size of files is limited as POSIX does")
@pytest.mark.parametrize("steps", [1, 2])
def test_a_full_disk_ends_a_run_with_a_sentence_that_says_how_to_go_on(tmp_path, finished, steps):
    """No file may be larger than 20 kB, which weights are; in the second run a checkpoint is there already."""
    config = write_project(tmp_path, steps=steps)
    if steps == 2:
        shutil.copytree(finished.parent / "out" / "checkpoint-1", tmp_path / "out" / "checkpoint-1")
    program = (
        "import resource, sys; from pathlib import Path; import click, torch; torch.set_num_threads(1)\n"
        "from preflight_ocr.harness.cli.steps import load, start_training\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "run = click.Command('run', callback=lambda: start_training(load(Path(sys.argv[1])), None))\n"
        "run.main([])"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    words = [sys.executable, "-c", program, str(config)]
    ended = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 2 and "is full" in ended.stderr, ended.stderr
    assert "Traceback" not in ended.stderr and "Make room" in ended.stderr
    assert ("checkpoint-1 is whole" in ended.stderr) == (steps == 2)
    assert not (tmp_path / "out" / "adapter").exists() and not list((tmp_path / "out").glob(".adapter-*"))


def test_the_result_that_is_compared_holds_every_tensor(finished):
    assert any("lora_B" in name and any(value) for name, value in read_result(finished).items())
