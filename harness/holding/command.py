"""What a training command starts: a script, a module, a console script or a notebook, with its launchers taken off.

Nothing is run and nothing heavy is imported here. A launcher (`accelerate launch`, `torchrun`) only starts processes; what
it starts is found with its own parser, in the process that will run it.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import re
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from preflight_ocr.harness.config.errors import UserError

Kind = Literal["script", "module", "console script", "notebook", "code"]

_PYTHON = re.compile(r"(python|pypy)(\d+(\.\d+)*)?(\.exe)?")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=.*", re.S)
_WITH_VALUE = ("-W", "-X", "--check-hash-based-pycs")  # options of the interpreter that take the next word
_LAUNCHERS: Mapping[str, tuple[str, str]] = {
    "accelerate launch": ("accelerate.commands.launch", "launch_command_parser"),
    "torchrun": ("torch.distributed.run", "get_args_parser"),
}
_MODULES_THAT_LAUNCH = {
    "accelerate.commands.launch": "accelerate launch",
    "torch.distributed.run": "torchrun",
    "torch.distributed.launch": "torchrun",
}


class CommandError(UserError):
    """The command cannot be understood. The message says what was seen and what to type."""


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """One Python program and its arguments.

    `target` is a path for a script or a notebook, a dotted name for a module, `module:function` for a console script and
    the text for code. `launchers` were in front of it. `environment` holds the assignments that stood before the program.
    """

    kind: Kind
    target: str
    arguments: tuple[str, ...] = ()
    launchers: tuple[str, ...] = ()
    environment: dict[str, str] = {}

    @property
    def source(self) -> Path | None:
        """The file that is run, where there is one that can be named before it runs."""
        return Path(self.target) if self.kind in ("script", "notebook") else None


def read_command(words: Sequence[str]) -> Command:
    """Take assignments, launchers and the interpreter off. Raises CommandError where no Python program is left."""
    left = list(words)
    environment: dict[str, str] = {}
    launchers: list[str] = []
    if left[:1] == ["env"]:
        left = left[1:]
    while left and _ASSIGNMENT.fullmatch(left[0]):
        name, _, environment[name] = left.pop(0).partition("=")
    while True:
        launcher, rest = _split_launcher(left)
        if launcher is None:
            break
        launchers.append(launcher)
        left = _read_launched(launcher, rest)
    if not left:
        raise CommandError(
            "there is no command after `--`; write the one that starts your training: -- python train.py"
        )
    kind, target, arguments = _read_program(left)
    return Command(
        kind=kind,
        target=target,
        arguments=tuple(arguments),
        launchers=tuple(launchers),
        environment=environment,
    )


def find_foreign_interpreter(words: Sequence[str]) -> str | None:
    """The interpreter that the command names, where it is not the one that runs Preflight: its packages are others."""
    left = [word for word in words if not _ASSIGNMENT.fullmatch(word)]
    left = left[1:] if left[:1] == ["env"] else left
    found = shutil.which(left[0]) if left else None
    if found is None:
        return None
    program = Path(found)
    if _PYTHON.fullmatch(program.name):
        return None if program.resolve() == Path(sys.executable).resolve() and _shares_packages(program) else found
    return None if program.parent == Path(sys.executable).parent or _is_installed_here(program.name) else found


def replace_interpreter(words: Sequence[str], python: str) -> tuple[str, ...]:
    """The command with `python` in the place of the interpreter that it starts with, behind `env` and assignments.

    A command that starts with something else is left as it is, whatever its arguments say.
    """
    at = int(list(words[:1]) == ["env"])
    while at < len(words) and _ASSIGNMENT.fullmatch(words[at]):
        at += 1
    if at < len(words) and _PYTHON.fullmatch(Path(words[at]).name):
        return (*words[:at], python, *words[at + 1 :])
    return tuple(words)


def _shares_packages(program: Path) -> bool:
    """Two environments can link to one interpreter; the folder of the link says whose packages it sees."""
    return program.parent.resolve() == Path(sys.executable).parent.resolve()


def _is_installed_here(name: str) -> bool:
    return bool(importlib.metadata.entry_points(group="console_scripts", name=name))


def _split_launcher(words: Sequence[str]) -> tuple[str | None, list[str]]:
    if not words:
        return None, []
    name = Path(words[0]).name.removesuffix(".exe")
    if name == "accelerate" and words[1:2] == ["launch"]:
        return "accelerate launch", list(words[2:])
    if name in ("accelerate-launch", "torchrun"):
        return ("torchrun" if name == "torchrun" else "accelerate launch"), list(words[1:])
    if _PYTHON.fullmatch(name):
        module, rest = _find_module(words[1:])
        if module in _MODULES_THAT_LAUNCH:
            return _MODULES_THAT_LAUNCH[module], rest
    return None, []


def _find_module(words: Sequence[str]) -> tuple[str | None, list[str]]:
    left = list(words)
    while left and left[0].startswith("-"):
        word = left.pop(0)
        if word == "-m":
            return (left[0], left[1:]) if left else (None, [])
        if word == "-c":
            return None, []
        if word in _WITH_VALUE and left:
            left.pop(0)
    return None, []


def _read_launched(launcher: str, words: Sequence[str]) -> list[str]:
    """What the launcher would start in each of its processes, read by its own parser."""
    module, function = _LAUNCHERS[launcher]
    try:
        parser: Any = getattr(importlib.import_module(module), function)()
    except ImportError as error:
        raise CommandError(f"{launcher} cannot be read here: {error}; install what it needs") from None
    try:
        parsed = parser.parse_args(list(words))
    except SystemExit:
        raise CommandError(f"`{launcher} {shlex.join(words)}` is refused by its own parser; correct it first") from None
    script = str(parsed.training_script)
    rest = [str(word) for word in parsed.training_script_args]
    if getattr(parsed, "module", False):
        return [sys.executable, "-m", script, *rest]
    if getattr(parsed, "no_python", False):
        return [script, *rest]
    return [sys.executable, script, *rest]


def _read_program(words: Sequence[str]) -> tuple[Kind, str, list[str]]:
    first, rest = words[0], list(words[1:])
    if first.endswith(".ipynb"):
        return "notebook", _require_file(first), rest
    if _PYTHON.fullmatch(Path(first).name):
        return _read_interpreter(rest)
    if first.endswith(".py"):
        return "script", _require_file(first), rest
    name = Path(first).name.removesuffix(".exe")
    if name in ("jupyter", "papermill"):
        notebook = next((word for word in rest if word.endswith(".ipynb")), None)
        if notebook is not None:
            return "notebook", _require_file(notebook), []
    found = tuple(importlib.metadata.entry_points(group="console_scripts", name=name))
    if found:
        return "console script", found[0].value, rest
    located = shutil.which(first)
    if located is not None and _is_python_text(Path(located)):
        return "script", located, rest
    raise CommandError(
        f"{first!r} starts no Python program that is installed here; expected python, accelerate, torchrun, a console "
        "script, a .py file or an .ipynb file. Of a shell script, give the line that starts Python"
    )


def _read_interpreter(words: Sequence[str]) -> tuple[Kind, str, list[str]]:
    left = list(words)
    while left:
        word = left.pop(0)
        if word == "-m" and left:
            return "module", left[0], left[1:]
        if word.startswith("-m") and len(word) > 2:
            return "module", word[2:], left
        if word == "-c" and left:
            return "code", left[0], left[1:]
        if word in _WITH_VALUE and left:
            left.pop(0)
        elif not word.startswith("-"):
            return "script", _require_file(word), left
    raise CommandError("python was given neither a file nor -m MODULE; write the command that starts your training")


def _require_file(name: str) -> str:
    path = Path(name)
    if path.is_dir() and (path / "__main__.py").is_file():
        return str(path.absolute())
    if not path.is_file():
        raise CommandError(f"{name}: there is no such file in {Path.cwd()}; run Preflight where you run your command")
    return str(path.absolute())


def _is_python_text(path: Path) -> bool:
    with path.open("rb") as file:
        line = file.readline(200)
    return line.startswith(b"#!") and b"python" in line
