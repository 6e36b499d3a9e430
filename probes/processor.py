"""What AutoProcessor really returns here, and who calls a tokenizer as if it could see."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from harness.facts import Processor, Raised, Site, Unknown
from probes.assembly import keep_modules_in, load_trusted
from probes.tracing import attempt, is_foreign


def observe(config_path: str, trust: bool, folder: str) -> dict[str, object]:
    """Run in a child: the Processor facts as builtins."""
    from transformers import AutoProcessor, PreTrainedTokenizerBase

    keep_modules_in(Path(folder) / "modules")
    config = load_trusted(Path(config_path), trust=trust)
    found = attempt(
        lambda: AutoProcessor.from_pretrained(
            config.model.base_model,
            trust_remote_code=config.model.trust_remote_code,
            revision=config.model.revision,
        )
    )
    facts: Processor | Unknown
    if isinstance(found, Raised) and find_missing_backend(found) is not None:
        facts = Unknown(reason=f"AutoProcessor needs {find_missing_backend(found)}, which cannot be imported here")
    elif isinstance(found, Raised):
        facts = Processor(returned="raised", raised=found)
    else:
        kind: Any = "tokenizer" if isinstance(found, PreTrainedTokenizerBase) else "processor"
        facts = Processor(returned=kind, class_name=type(found).__name__)
    result: dict[str, object] = msgspec.to_builtins(facts)
    return result


def find_missing_backend(raised: Raised) -> str | None:
    """The package whose absence made transformers refuse a class of its own; None for anything else."""
    said = re.search(r"requires the (\w+) library but it was not found", raised.message)
    if said is not None and raised.type == "ImportError":
        return said[1].lower()
    return "torchvision" if "torchvision" in raised.message.lower() else None


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
    path = Path(frame.f_code.co_filename)
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    code = lines[frame.f_lineno - 1].strip() if frame.f_lineno <= len(lines) else ""
    return Site(file=path.name, line=frame.f_lineno, code=code, kind=kind)
