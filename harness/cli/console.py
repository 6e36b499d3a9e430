"""The console as every command finds it: code pages that cannot show a letter, and what is said where we fail ourselves."""

from __future__ import annotations

import sys
import tempfile
import time
import traceback
from pathlib import Path
from types import TracebackType

import click


def prepare() -> None:
    from preflight_ocr.reports.terminal import survive_code_pages

    survive_code_pages()
    sys.excepthook = log_failure


def log_failure(
    kind: type[BaseException],
    error: BaseException,
    trace: TracebackType | None,
    what: str = "Preflight itself failed",
    plea: str = "; please report it",
) -> None:
    """The interpreter's last resort: a short message, and the traceback in a file. Python then exits with 1."""
    name = f"preflight-{time.strftime('%Y%m%d-%H%M%S')}.log"
    text = "".join(traceback.format_exception(kind, error, trace))
    for folder in (Path("logs"), Path(tempfile.gettempdir())):
        try:
            folder.mkdir(exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
        except OSError:
            continue
        where = f"The traceback is in {folder / name}{plea}."
        break
    else:
        where = f"The traceback could not be written anywhere:\n{text}"
    click.echo(f"{what}: {kind.__name__}: {error}\n{where}", err=True)
