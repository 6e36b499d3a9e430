"""An exception of foreign code as a fact: its type, its message, and the last line that is not a library's."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from preflight_ocr.harness.facts import Raised, Site
from preflight_ocr.harness.home import find_installed_places, is_ours, is_stand_in
from preflight_ocr.harness.isolation.closing import CLOSED_BY_US, explain_refusal

T = TypeVar("T")


def attempt(run: Callable[[], T]) -> T | Raised:
    """Run foreign code; what it raises is a fact. The one door at which probes catch everything.

    `sys.exit` too: a script that parses its command line when it is imported ends like that.
    """
    try:
        return run()
    except (Exception, SystemExit) as error:  # noqa: BLE001
        return describe_error(error)


def describe_error(error: BaseException) -> Raised:
    """The fact of an exception. Its message is cut at 600 characters: some quote a whole module tree."""
    try:
        message = str(error)
    except Exception as second:  # noqa: BLE001 (the text of an exception is foreign code as well)
        message = f"(its text could not be made: {type(second).__name__})"
    kind = type(error).__name__
    if said := explain_refusal(error):
        kind, message = CLOSED_BY_US, f"{said} ({kind}: {message})"
    return Raised(
        type=kind,
        message=message if len(message) <= 600 else message[:600] + " ...",
        site=_find_site(error),
    )


def _find_site(error: BaseException) -> Site | None:
    frames = traceback.extract_tb(error.__traceback__)
    foreign = [f for f in frames if is_foreign(Path(f.filename))]
    chosen = foreign[-1] if foreign else (frames[-1] if frames else None)
    if chosen is None or is_ours(Path(chosen.filename)):  # what we say of what was seen has no place in the user's code
        return None
    return Site(
        file=Path(chosen.filename).name, line=chosen.lineno or 0, code=(chosen.line or "").strip(), kind="", runs=None
    )


def is_foreign(path: Path) -> bool:
    """Whether a file belongs to neither Python, an installed library, nor Preflight."""
    if "transformers_modules" in path.parts or is_stand_in(path):
        return True
    if is_ours(path):
        return False
    return path.suffix == ".py" and not os.fspath(path).startswith(find_installed_places())
