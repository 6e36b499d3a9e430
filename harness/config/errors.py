"""The one thing all our refusals have in common."""

from __future__ import annotations

from pathlib import Path

from preflight_ocr.harness.foreign.text import clean


class UserError(ValueError):
    """Something the user can put right. The message says what was seen, what was expected and what to type next.

    What a message quotes is foreign text: it is cleaned here, once for every refusal.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(clean(message))


class ConfigError(UserError):
    """The YAML file cannot be used. The message says what was seen, what was expected and what to type next."""

    def __init__(self, source: Path, message: str, *, line: int | None = None, column: int | None = None) -> None:
        self.source, self.line, self.column = source, line, column
        place = "".join(f":{number}" for number in (line, column) if number is not None)
        super().__init__(f"{source}{place}: {message}")
