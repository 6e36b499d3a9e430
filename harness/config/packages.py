"""Which packages that Preflight does not bring are absent here, and the sentence that says so with the command to type.

Preflight requires only what reading, judging and reporting need. torch, transformers and their like are what it judges, so
they are the user's; what runs a model asks here first whether they are there. Importing this module imports none of them.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from typing import TYPE_CHECKING

from preflight_ocr.harness.config.errors import UserError

if TYPE_CHECKING:
    from preflight_ocr.harness.config.schema import Config

RUNNING = ("torch", "transformers", "peft", "accelerate", "safetensors", "PIL", "numpy")
"""The modules without which no model is built and no row becomes a batch."""

PREPARING = ("datasets", "imagehash", "PIL", "numpy")
"""The modules without which no rows are prepared."""

_EXTRA_DATA = ("datasets", "imagehash", "pypdfium2")
_DISTRIBUTIONS = {"PIL": "pillow"}


class PackageAbsent(UserError):
    """Something was asked for that needs packages which are not installed."""


def find_absent(modules: Iterable[str]) -> tuple[str, ...]:
    """The names, as pip knows them, of those of these top-level modules that are not installed."""
    return tuple(_DISTRIBUTIONS.get(module, module) for module in modules if not _is_installed(module))


def tell_absent(doing: str, modules: Iterable[str]) -> str:
    """`doing` (the start of the sentence, as in "running the model") needs what is absent; "" where nothing is."""
    absent = find_absent(modules)
    if not absent:
        return ""
    if len(absent) == 1:
        return f"{doing} needs {absent[0]}, which is not installed here; type `pip install {absent[0]}`"
    named = f"{', '.join(absent[:-1])} and {absent[-1]}"
    extras = ["train"] * any(name not in _EXTRA_DATA for name in absent)
    extras += ["data"] * any(name in _EXTRA_DATA for name in absent)
    return (
        f'{doing} needs {named}, which are not installed here; type `pip install "preflight-ocr[{",".join(extras)}]"`'
    )


def require_for_training(config: Config) -> None:
    """Raise PackageAbsent where what this configuration trains with, writes its log with or is scored with is absent."""
    require("training", RUNNING)
    asked = config.training.arguments.get("report_to")
    if asked == "tensorboard" or (isinstance(asked, (list, tuple)) and "tensorboard" in asked):
        require("training.report_to: tensorboard", ("tensorboard",))
    if config.data.test_path is not None and config.subject.collator is None:
        require("the character error rate of data.test_path", ("jiwer",))


def require(doing: str, modules: Iterable[str]) -> None:
    """Raise PackageAbsent with that sentence where one of the modules is absent."""
    if said := tell_absent(doing, modules):
        raise PackageAbsent(said)


def _is_installed(module: str) -> bool:
    """Whether importing finds code. A folder of that name without any (somebody's data) is no installation."""
    try:
        spec = importlib.util.find_spec(module)
    except ValueError:  # what stands in sys.modules says nothing of where it came from
        return True
    return spec is not None and spec.origin is not None
