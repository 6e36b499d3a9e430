"""What many tests share: one warm process that children are forked from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from preflight_ocr.harness.isolation import Sandbox

WARM = ("preflight_ocr.harness.commands.corpus.warm", "preflight_ocr.probes.rehearsal.forecast")


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """For every check of a test session: opening one costs the imports of torch, transformers and every family's classes."""
    from preflight_ocr.harness.check.sandboxes import open_sandbox
    from preflight_ocr.harness.commands.corpus.run import calm_libraries

    with calm_libraries(), open_sandbox(WARM) as opened:
        yield opened
