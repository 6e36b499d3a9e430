"""The one thing all our refusals have in common."""

from __future__ import annotations

from preflight_ocr.harness.foreign.text import clean


class UserError(ValueError):
    """Something the user can put right. The message says what was seen, what was expected and what to type next.

    What a message quotes is foreign text: it is cleaned here, once for every refusal.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(clean(message))
