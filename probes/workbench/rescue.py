"""Going on with a model that does not load or run as configured, so that one defect does not hide all the others.

The first exception is kept and reported. The model is then loaded with what is missing stood in for, with plain
attention, or by our loader in place of the user's, and everything else can be looked at in the same run.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
from torch import nn

from preflight_ocr.harness.config.schema import Config
from preflight_ocr.harness.facts import Import, Raised, Unknown
from preflight_ocr.harness.training.quantising import asks_for_quantisation
from preflight_ocr.probes.reading.exports import Exports
from preflight_ocr.probes.reading.repository import look_at_repository
from preflight_ocr.probes.workbench.model import Built, build
from preflight_ocr.probes.workbench.tracing import describe_error


def load(config: Config, directory: Path, make: Callable[[Config], Built] = build) -> tuple[Built, Raised | None]:
    """The model, and what loading it as configured raised. Raises that exception where no rescue helps."""
    try:
        return make(config), None
    except Exception as error:  # noqa: BLE001 (foreign code; kept and reported, or raised again)
        first = error
    for rescue in (_stand_in_for_missing, _leave_unpacked, _choose_eager, _choose_our_loader):
        changed = rescue(config, directory)
        if changed is None:
            continue
        config = changed
        try:
            return make(config), describe_error(first)
        except Exception:  # noqa: BLE001 (the first exception is the one to tell)
            continue
    raise first


def _choose_eager(config: Config, directory: Path) -> Config | None:
    """Plain attention, which every model has."""
    if config.model.attn_implementation in (None, "eager"):
        return None
    return msgspec.structs.replace(config, model=msgspec.structs.replace(config.model, attn_implementation="eager"))


def _leave_unpacked(config: Config, directory: Path) -> Config | None:
    """The weights as they are, where `model.quantization` cannot be had."""
    if not asks_for_quantisation(config.model.quantization):
        return None
    return msgspec.structs.replace(config, model=msgspec.structs.replace(config.model, quantization=None))


def _choose_our_loader(config: Config, directory: Path) -> Config | None:
    """Our loader in place of the user's."""
    if config.subject.model is None:
        return None
    return msgspec.structs.replace(config, subject=msgspec.structs.replace(config.subject, model=None))


def _stand_in_for_missing(config: Config, directory: Path) -> Config | None:
    """Names and modules that remote code imports and nobody has: often it never uses them."""
    repository = look_at_repository(directory, Exports())
    if isinstance(repository, Unknown):
        return None
    missing = [i for i in repository.imports if i.status.startswith("missing") and not i.conditional]
    for site in missing:
        _provide(site)
    return config if missing else None


def _provide(site: Import) -> None:
    """Put a stand-in where `import module` or `from module import name` will look."""
    steps = site.module.split(".")
    for count in range(1, len(steps) + 1):
        name = ".".join(steps[:count])
        if name not in sys.modules:
            _import_or_create(name)
    if site.name is not None and site.name != "*" and not hasattr(sys.modules[site.module], site.name):
        setattr(sys.modules[site.module], site.name, make_stand_in(site.name))


def _import_or_create(name: str) -> None:
    try:
        importlib.import_module(name)
    except ImportError:
        module = ModuleType(name)
        module.__spec__ = ModuleSpec(name, None)
        module.__path__ = []
        sys.modules[name] = module
        parent, _, last = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], last, module)


def make_stand_in(name: str) -> Any:
    """A class that can be named and derived from but not made, or for a lower-case name a function that says no."""
    if name[:1].islower():

        def decline(*given: Any, **named: Any) -> None:
            return None

        return decline

    def refuse(self: Any, *given: Any, **named: Any) -> None:
        raise ImportError(f"{name} is not there; it is only stood in for while Preflight looks at the rest")

    return type(name, (nn.Module,), {"__init__": refuse})
