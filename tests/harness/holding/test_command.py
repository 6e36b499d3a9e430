"""What a command starts, told from its words."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from preflight_ocr.harness.holding.command import CommandError, find_foreign_interpreter, read_command
from preflight_ocr.harness.holding.run import is_launch, read_notebook


@pytest.fixture
def script(tmp_path: Path) -> str:
    path = tmp_path / "train.py"
    path.write_text("print('training')", encoding="utf-8")
    return str(path)


def test_a_script_keeps_its_arguments(script: str) -> None:
    read = read_command(["python", "-u", "-W", "ignore", script, "--config", "x.yaml", "--", "-m"])
    assert (read.kind, read.target) == ("script", script)
    assert read.arguments == ("--config", "x.yaml", "--", "-m")


@pytest.mark.parametrize("words", [["-m", "package.train"], ["-mpackage.train"]])
def test_a_module_is_told_from_a_script(words: list[str]) -> None:
    read = read_command(["python3.11", *words, "--lr", "1"])
    assert (read.kind, read.target, read.arguments) == ("module", "package.train", ("--lr", "1"))


def test_assignments_in_front_are_the_environment(script: str) -> None:
    read = read_command(["env", "A=b=c", "CUDA_VISIBLE_DEVICES=0", "python", script])
    assert read.environment == {"A": "b=c", "CUDA_VISIBLE_DEVICES": "0"}
    assert read.target == script


@pytest.mark.parametrize(
    "launcher",
    [
        ["accelerate", "launch", "--num_processes", "4", "--mixed_precision", "bf16"],
        ["torchrun", "--nproc_per_node", "8"],
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"],
        [sys.executable, "-m", "accelerate.commands.launch", "--num_processes=2"],
    ],
)
def test_a_launcher_is_taken_off_by_its_own_parser(launcher: list[str], script: str) -> None:
    read = read_command([*launcher, script, "--num_processes", "mine"])
    assert (read.kind, read.target) == ("script", script)
    assert read.arguments == ("--num_processes", "mine")
    assert len(read.launchers) == 1


def test_a_launched_module_is_a_module() -> None:
    read = read_command(["torchrun", "--nproc_per_node=2", "-m", "package.train", "--lr", "1"])
    assert (read.kind, read.target, read.arguments) == ("module", "package.train", ("--lr", "1"))


def test_a_console_script_is_its_function() -> None:
    read = read_command(["accelerate-config", "--help"])
    assert read.kind == "console script"
    assert read.target == "accelerate.commands.config:main"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "no command after `--`"),
        (["python"], "neither a file nor -m"),
        (["python", "nowhere.py"], "there is no such file"),
        (["bash", "train.sh"], "give the line that starts Python"),
        (["torchrun", "--no-such-option"], "refused by its own parser"),
    ],
)
def test_what_cannot_be_held_says_what_to_type(words: list[str], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        read_command(words)


def test_another_environments_python_is_named(tmp_path: Path, script: str) -> None:
    other = tmp_path / "bin" / "python3"
    other.parent.mkdir()
    other.symlink_to(sys.executable)
    assert find_foreign_interpreter([str(other), script]) == str(other)
    assert find_foreign_interpreter([sys.executable, script]) is None


def test_a_notebook_is_its_code_cells_without_what_only_a_notebook_can_run(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "markdown", "source": "# text"},
        {"cell_type": "code", "source": ["!pip install x\n", "a = 1\n", "if a:\n", "    %time a = 2\n"]},
        {"cell_type": "code", "source": "%%bash\necho no"},
        {"cell_type": "code", "source": "b = a + 1"},
    ]
    path = tmp_path / "train.ipynb"
    path.write_text(json.dumps({"cells": cells}), encoding="utf-8")
    scope: dict[str, object] = {}
    exec(compile(read_notebook(path), "notebook", "exec"), scope)
    assert scope["b"] == 2
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(CommandError, match="not a notebook"):
        read_notebook(path)


def test_only_a_start_of_training_is_followed() -> None:
    assert is_launch(["torchrun", "train.py"])
    assert is_launch([sys.executable, "/x/sft.py", "--a"])
    assert is_launch(["accelerate", "launch", "x.py"])
    assert not is_launch(["accelerate", "env"])
    assert not is_launch([sys.executable, "-c", "print()"])
    assert not is_launch([sys.executable, "-m", "pip", "list"])
    assert not is_launch(["git", "rev-parse", "HEAD"])
