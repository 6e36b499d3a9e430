"""An answer to show."""

from __future__ import annotations

from tests.support.answers import answer

__all__ = ["answer"]
