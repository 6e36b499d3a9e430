"""What AutoProcessor really returns here, and who calls a tokenizer as if it could see."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import msgspec

from preflight_ocr.harness.config.config import load_config
from preflight_ocr.harness.config.schema import Config
from preflight_ocr.harness.facts import Opened, Processor, Raised, Site, Unknown
from preflight_ocr.harness.home import is_ours
from preflight_ocr.probes.reading.json_files import get_text, read_object
from preflight_ocr.probes.reading.repository import find_model_directory
from preflight_ocr.probes.workbench.assembly import keep_modules_in
from preflight_ocr.probes.workbench.tracing import attempt, describe_error, is_foreign

_DECLARING = ("processor_config", "preprocessor_config", "tokenizer_config", "config")


Kind = Literal["processor", "tokenizer", "raised"]


def observe(config_path: str, trust: bool, folder: str) -> dict[str, object]:
    """Run in a child: the Processor facts as builtins."""
    keep_modules_in(Path(folder) / "modules")
    result: dict[str, object] = msgspec.to_builtins(look_at_processor(load_config(Path(config_path), trust=trust)))
    return result


def look_at_processor(config: Config) -> Processor | Unknown:
    """What AutoProcessor gives in this process, and what it gives once the configuration's module was imported.

    Unknown where a package that the processor's class really needs is missing. A class with a slot that its own constructor
    does not fill is refused whatever is installed, so there the refusal is the answer.
    """
    from transformers import AutoConfig, AutoProcessor

    source = config.model.base_model
    options = {"trust_remote_code": config.model.trust_remote_code, "revision": config.model.revision}
    first = describe_opened(attempt(lambda: AutoProcessor.from_pretrained(source, **options)))
    configured = attempt(lambda: AutoConfig.from_pretrained(source, **options))
    unfilled = find_unfilled(config)
    registered: Opened | Unknown
    if isinstance(configured, Raised):
        registered = Unknown(reason=f"the configuration raised {configured.type}: {configured.message}")
    else:
        registered = describe_opened(attempt(lambda: AutoProcessor.from_pretrained(source, **options)))
        if not unfilled and (backend := _find_backend(registered)) is not None:
            registered = _miss(backend)
    if not unfilled and (backend := _find_backend(first)) is not None:
        return _miss(backend)
    return Processor(
        returned=first.returned,
        class_name=first.class_name,
        raised=first.raised,
        registered=registered,
        unfilled=unfilled,
        image_calls=(),
    )


def describe_opened(found: Any, site: Site | None = None) -> Opened:
    """What a call gave, as a fact."""
    from transformers import PreTrainedTokenizerBase

    if isinstance(found, Raised):
        return Opened(returned="raised", raised=found, site=site, class_name="")
    kind: Kind = "tokenizer" if isinstance(found, PreTrainedTokenizerBase) else "processor"
    return Opened(returned=kind, class_name=type(found).__name__, site=site, raised=None)


def find_unfilled(config: Config) -> tuple[str, ...]:
    """The slots that the processor's class inherits and that its own constructor has no argument for.

    Up to transformers 4.57 the slots are a list on the class, which a subclass inherits; from 5 on they are read off the
    constructor. Empty where no class of the declared name is known.
    """
    names = _list_declared(config)
    kind = next((k for name in names if isinstance(k := attempt(partial(_find_class, name)), type)), None)
    slots = getattr(kind, "attributes", None)
    if kind is None or not isinstance(slots, list | tuple):
        return ()
    parameters = inspect.signature(kind).parameters.values()
    if any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters):
        return ()
    return tuple(slot for slot in slots if slot not in {p.name for p in parameters})


def _list_declared(config: Config) -> list[str]:
    directory = find_model_directory(config)
    if isinstance(directory, Unknown):
        return []
    files = (read_object(directory / f"{name}.json") for name in _DECLARING)
    names = (get_text(values, "processor_class") for values in files if isinstance(values, dict))
    return [name for name in names if name]


def _find_class(name: str) -> Any:
    from transformers.models.auto.processing_auto import processor_class_from_name

    return processor_class_from_name(name)


def _find_backend(opened: Opened) -> str | None:
    return None if opened.raised is None else find_missing_backend(opened.raised)


def _miss(backend: str) -> Unknown:
    return Unknown(reason=f"AutoProcessor needs {backend}, which cannot be imported here")


def find_missing_backend(raised: Raised) -> str | None:
    """The package whose absence made transformers refuse a class of its own; None for anything else."""
    said = re.search(r"requires the (\w+) library but it was not found", raised.message)
    if said is not None and raised.type == "ImportError":
        return said[1].lower()
    return "torchvision" if "torchvision" in raised.message.lower() else None


@contextmanager
def record_openings() -> Iterator[list[Opened]]:
    """Note what every `AutoProcessor.from_pretrained` that the user's own code calls gives while the context is open."""
    from transformers import AutoProcessor

    seen: list[Opened] = []
    original = vars(AutoProcessor)["from_pretrained"]
    call = original.__func__

    def spy(cls: Any, *args: Any, **kwargs: Any) -> Any:
        site = _find_foreign_caller("AutoProcessor.from_pretrained")
        try:
            found = call(cls, *args, **kwargs)
        except BaseException as error:
            if site is not None:
                seen.append(describe_opened(describe_error(error), site))
            raise
        if site is not None:
            seen.append(describe_opened(found, site))
        return found

    AutoProcessor.from_pretrained = classmethod(spy)
    try:
        yield seen
    finally:
        AutoProcessor.from_pretrained = original


@contextmanager
def record_image_calls() -> Iterator[list[Site]]:
    """Note every call `tokenizer(..., images=...)` made while the context is open; the call itself goes on unchanged."""
    from transformers import PreTrainedTokenizerBase

    calls: list[Site] = []
    original = PreTrainedTokenizerBase.__call__

    def spy(self: Any, *args: Any, **kwargs: Any) -> Any:
        if {"images", "image", "pixel_values"} & kwargs.keys():
            calls.append(_caller(type(self).__name__))
        return original(self, *args, **kwargs)

    PreTrainedTokenizerBase.__call__ = spy
    try:
        yield calls
    finally:
        PreTrainedTokenizerBase.__call__ = original


def _caller(kind: str) -> Site:
    """The nearest frame of foreign code; the user's line, not the library's."""
    frame = sys._getframe(2)
    while frame.f_back is not None and not is_foreign(Path(frame.f_code.co_filename)):
        frame = frame.f_back
    return _describe(frame, kind)


def _find_foreign_caller(kind: str) -> Site | None:
    """The line of foreign code from which a library was called; None where it was a line of ours."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and not is_ours(path := Path(frame.f_code.co_filename)):
        if is_foreign(path):
            return _describe(frame, kind)
        frame = frame.f_back
    return None


def _describe(frame: FrameType, kind: str) -> Site:
    path = Path(frame.f_code.co_filename)
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    code = lines[frame.f_lineno - 1].strip() if frame.f_lineno <= len(lines) else ""
    return Site(file=path.name, line=frame.f_lineno, code=code, kind=kind, runs=None)
