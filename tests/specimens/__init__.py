"""Healthy and sick specimens: facts as probes would have returned them, one module per diagnosis.

A specimen is the healthy run with a few facts altered:

    SICK = altered(HEALTHY, {"collator.batch.rows.0.trained": "1" * 19, "configuration.fp16": True})
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from preflight_ocr.harness.facts import Facts
from tests.specimens.healthy import HEALTHY, write_row

__all__ = ["HEALTHY", "altered", "write_row"]


def altered(facts: Facts, changes: Mapping[str, object]) -> Facts:
    """The same facts with the value at each dotted path replaced.

    A step is a field's name, a number into a tuple, or a key of a dict (a new key is added). Raises KeyError for a path
    that does not exist and msgspec.ValidationError for a value that these facts could never hold.
    """
    changed: Any = facts
    for path, value in changes.items():
        changed = _replace(changed, path.split("."), value, path)
    return Facts.from_json(changed.to_json())


def _replace(here: Any, steps: list[str], value: object, path: str) -> Any:
    if not steps:
        return value
    step, *rest = steps
    if isinstance(here, dict) and (step in here or not rest):
        return here | {step: _replace(here.get(step), rest, value, path)}
    if isinstance(here, tuple) and step.isdecimal() and int(step) < len(here):
        index = int(step)
        return (*here[:index], _replace(here[index], rest, value, path), *here[index + 1 :])
    if isinstance(here, msgspec.Struct) and step in here.__struct_fields__:
        return msgspec.structs.replace(here, **{step: _replace(getattr(here, step), rest, value, path)})
    raise KeyError(f"{path}: there is no {step!r} in a {type(here).__name__}")
