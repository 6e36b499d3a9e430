"""Every message that is recognised, the special before the general: one declared entry for each, in files by subject."""

from __future__ import annotations

from functools import cache

from preflight_ocr.harness.commands.triage.recogniser import Recogniser

__all__ = ["list_recognisers"]


@cache
def list_recognisers() -> tuple[Recogniser, ...]:
    """All entries; the first that matches is the one that counts."""
    from preflight_ocr.harness.commands.triage.table import adapter, arguments, dtypes, images, machine, model, rows

    return (*model.TABLE, *images.TABLE, *dtypes.TABLE, *adapter.TABLE, *rows.TABLE, *arguments.TABLE, *machine.TABLE)
