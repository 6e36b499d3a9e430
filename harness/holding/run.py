"""Running a command in this process, as its own interpreter would: its argv, its path, its `__main__`."""

from __future__ import annotations

import importlib
import json
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from preflight_ocr.harness.holding.command import Command, CommandError, read_command

MOST_RELAUNCHES = 5
_MAGIC = re.compile(r"^\s*[%!?]")


class Relaunch(BaseException):
    """The command was about to start another Python program: that one is run here in its place."""

    def __init__(self, words: Sequence[str], environment: dict[str, str]) -> None:
        super().__init__(shlex.join(words))
        self.words, self.environment = tuple(words), environment


def run_command(
    words: Sequence[str],
    scratch: Path,
    note: Callable[[str], None],
    started: Callable[[Command], None] = lambda command: None,
) -> None:
    """Run it to its end in this process; `note` is told each launcher that was taken off. Raises what it raises.

    `started` is told each program that is run, the last of which is the one that trains. `scratch` is a folder for the text
    of a notebook. A SystemExit of the command goes through.
    """
    _intercept_launches()
    for _ in range(MOST_RELAUNCHES):
        command = read_command(words)
        for launcher in command.launchers:
            note(launcher)
        os.environ.update(command.environment)
        started(command)
        try:
            _run(command, scratch)
        except Relaunch as next_program:
            note(f"{Path(words[0]).name} {' '.join(words[1:2])}".strip())
            words = next_program.words
            os.environ.update(next_program.environment)
            continue
        return
    raise CommandError(f"the command starts one program after another, {MOST_RELAUNCHES} times; give the last one")


def _run(command: Command, scratch: Path) -> None:
    match command.kind:
        case "script":
            sys.argv = [command.target, *command.arguments]
            sys.path.insert(0, str(Path(command.target).parent))
            runpy.run_path(command.target, run_name="__main__")
        case "module":
            sys.argv = [command.target, *command.arguments]
            sys.path.insert(0, str(Path.cwd()))
            runpy.run_module(command.target, run_name="__main__", alter_sys=True)
        case "code":
            sys.argv = ["-c", *command.arguments]
            sys.path.insert(0, str(Path.cwd()))
            place = scratch / "command.py"
            place.write_text(command.target, encoding="utf-8")
            runpy.run_path(str(place), run_name="__main__")
        case "notebook":
            place = scratch / f"{Path(command.target).stem}.py"
            place.write_text(read_notebook(Path(command.target)), encoding="utf-8")
            sys.argv = [str(place)]
            sys.path.insert(0, str(Path(command.target).parent))
            runpy.run_path(str(place), init_globals={"display": print}, run_name="__main__")
        case "console script":
            module, _, name = command.target.partition(":")
            sys.argv = [command.target.partition(".")[0], *command.arguments]
            start: Any = importlib.import_module(module)
            for step in name.split("."):
                start = getattr(start, step)
            start()


def read_notebook(path: Path) -> str:
    """The code cells of a notebook as one program; what only a notebook can run (magics, `!`) is left as a comment."""
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, KeyError) as error:
        raise CommandError(f"{path}: this is not a notebook ({type(error).__name__}: {error})") from None
    program = []
    for number, cell in enumerate(cells, 1):
        if cell.get("cell_type") != "code":
            continue
        source = cell["source"]
        lines = (source if isinstance(source, str) else "".join(source)).split("\n")
        if lines and lines[0].startswith("%%"):
            lines = [f"# {line}" for line in lines]
        kept = [f"{_indent(line)}pass  # {line.strip()}" if _MAGIC.match(line) else line for line in lines]
        program.append("\n".join([f"# cell {number}", *kept]))
    return "\n\n".join(program) + "\n"


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _intercept_launches() -> None:
    """A launcher that starts Python programs by itself (`trl`, `swift`, `accelerate launch`) is followed into them."""
    if getattr(subprocess.Popen.__init__, "is_followed", False):
        return
    start = subprocess.Popen.__init__

    def follow(process: Any, args: Any, *given: Any, **named: Any) -> None:
        words = [str(word) for word in args] if isinstance(args, list | tuple) else shlex.split(str(args))
        if is_launch(words):
            raise Relaunch(words, dict(named.get("env") or {}))
        start(process, args, *given, **named)

    follow.is_followed = True  # type: ignore[attr-defined]
    setattr(subprocess.Popen, "__init__", follow)  # noqa: B010 (a patch, not a declaration)
    for name in ("execv", "execve", "execvp", "execvpe"):
        setattr(os, name, _follow_replacement(name))


def _follow_replacement(name: str) -> Any:
    def replace(file: Any, args: Sequence[Any], env: Any = None) -> None:
        raise Relaunch([str(file), *(str(word) for word in args[1:])], dict(env or {}))

    return replace


def is_launch(words: Sequence[str]) -> bool:
    """Whether these words start a Python file or module, or a launcher of one; not `python -c`, `pip` and the like."""
    if not words:
        return False
    name = Path(words[0]).name.removesuffix(".exe")
    if name in ("torchrun", "accelerate-launch", "deepspeed"):
        return True
    if name == "accelerate":
        return words[1:2] == ["launch"]
    if not re.fullmatch(r"python[\d.]*", name):
        return False
    if "-c" in words[1:4] or "pip" in words[1:4]:
        return False
    return any(word.endswith(".py") for word in words[1:4]) or "-m" in words[1:4]
