"""What a child answered, turned into facts. The answer is foreign: the code that ran in the child could have written it."""

from __future__ import annotations

from typing import Any

import msgspec

from preflight_ocr.harness.facts import Unknown

__all__ = ["WRONG_FORM", "read_answer"]

WRONG_FORM = (msgspec.ValidationError, RecursionError, TypeError, ValueError, OverflowError)
"""What turning a value of another form into facts may raise."""

_SEEN = 120


def read_answer(value: object, kind: Any, key: str | None = None) -> Any:
    """`value`, or what it holds at `key`, as `kind` or Unknown.

    An answer of another form is Unknown as well: our probes give none, so that foreign code has changed what they
    return, and nothing else in it can be believed.
    """
    if key is not None:
        if not isinstance(value, dict) or key not in value:
            return _distrust(f"it has no {key!r}", value)
        value = value[key]
    try:
        return msgspec.convert(value, kind | Unknown)
    except WRONG_FORM as error:
        return _distrust(str(error), value)


def _distrust(why: str, value: object) -> Unknown:
    kind = type(value).__name__
    why = why if len(why) <= _SEEN else f"{why[:_SEEN]}..."
    return Unknown(
        reason=f"foreign code changed what its process answers: a wrong form ({kind}: {why}), expected facts",
        cause="foreign code died",
    )
