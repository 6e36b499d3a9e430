"""Finding the user's own parts: "package.module:function" becomes the function."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any, Literal

from preflight_ocr.harness.config.errors import UserError
from preflight_ocr.harness.config.schema import Config

Part = Literal["model", "collator", "peft", "trainer", "dataset"]


class SubjectError(UserError):
    """A part named in the `subject` section cannot be reached."""


def load_part(config: Config, part: Part) -> Callable[..., Any] | None:
    """The function behind `subject.<part>`, imported, or None where the YAML names none."""
    spec: str | None = getattr(config.subject, part)
    return None if spec is None else resolve_part(spec, config.subject.path)


def resolve_part(spec: str, directory: Path) -> Callable[..., Any]:
    """Import `spec`, with `directory` first on sys.path. This executes foreign code: call it only after trust.

    Raises SubjectError when the module or the name does not exist. What the module itself raises goes through.
    """
    if sys.path[:1] != [str(directory)]:  # further down, somebody else's module of the same name would be found first
        sys.path.insert(0, str(directory))
    module_name, _, name = spec.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        message = f"{spec}: there is no module {error.name} in {directory}; set subject.path to the directory it is in"
        raise SubjectError(message) from None
    try:
        part = reduce(getattr, name.split("."), module)
    except AttributeError:
        raise SubjectError(f"{spec}: {module.__file__} has no {name}; correct the name after the colon") from None
    if not callable(part):
        raise SubjectError(f"{spec} is a {type(part).__name__}, expected a function")
    return part
