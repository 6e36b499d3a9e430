"""How a child ended that gave no answer, as a reason that a reader understands."""

from __future__ import annotations

from pathlib import Path

from preflight_ocr.harness.facts import Cause, Unknown
from preflight_ocr.harness.home import is_ours
from preflight_ocr.harness.isolation import ChildRaised, Died, Ending
from preflight_ocr.harness.judging.failures import is_out_of_memory

_ON_PURPOSE = ("ValueError", "LookupError", "OSError", "FileNotFoundError")  # what our code raises to say why not


def tell(ended: Ending) -> Unknown:
    """How a child ended that did not return, as a reason."""
    if isinstance(ended, ChildRaised) and is_out_of_memory(ended.type, ended.message):
        return Unknown(reason=f"the child ran out of the memory that it may use: {ended.message}", cause="no answer")
    if isinstance(ended, ChildRaised):
        cause: Cause = "our own failure" if _is_our_fault(ended) else "no answer"
        return Unknown(reason=f"{ended.type.rpartition('.')[2]}: {ended.message}", cause=cause)
    assert isinstance(ended, Died)
    return Unknown(reason=f"foreign code died: the process {ended.reason}", cause="foreign code died")


def _is_our_fault(raised: ChildRaised) -> bool:
    """Whether an exception comes from a line of Preflight's own that did not mean to raise it."""
    if raised.type in _ON_PURPOSE or raised.type.startswith("preflight_ocr.") or not raised.frames:
        return False
    return is_ours(Path(raised.frames[-1].file))
