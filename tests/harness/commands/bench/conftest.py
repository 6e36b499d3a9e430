"""A benchmark as it would have been measured on a card."""

from __future__ import annotations

from tests.support.measurements import measured

__all__ = ["measured"]
