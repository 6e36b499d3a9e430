"""The catalogue: every diagnosis, in the order of its code.

One defect per file. The file's docstring is its documentation; `CATALOGUE` is built from the files, so nothing has to be
registered by hand.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import cast

from preflight_ocr.harness.judging.header import DiagnosisModule


@cache
def catalogue() -> tuple[DiagnosisModule, ...]:
    """Every diagnosis module, sorted by code."""
    names = [m.name for m in pkgutil.iter_modules(__path__)]
    modules = [cast(DiagnosisModule, importlib.import_module(f"{__name__}.{name}")) for name in names]
    return tuple(sorted(modules, key=lambda m: m.DIAGNOSIS.code))


def find(code_or_name: str) -> DiagnosisModule | None:
    """The diagnosis with this code or name, in any case; None where there is none."""
    wanted = code_or_name.lower()
    return next((m for m in catalogue() if wanted in (m.DIAGNOSIS.code.lower(), m.DIAGNOSIS.name)), None)
