"""The one thing all our refusals have in common."""

from __future__ import annotations


class UserError(ValueError):
    """Something the user can put right. The message says what was seen, what was expected and what to type next."""
