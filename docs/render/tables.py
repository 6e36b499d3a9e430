"""Markdown tables whose cells cannot break them."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

__all__ = ["escape", "join_cells", "quote", "tabulate"]


def tabulate(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A whole table."""
    return "\n".join([join_cells(*titles), join_cells(*("---" for _ in titles)), *(join_cells(*row) for row in rows)])


def join_cells(*cells: str) -> str:
    """One row."""
    return f"| {' | '.join(escape(cell) for cell in cells)} |"


def quote(cell: str) -> str:
    """A special token as code, so that no page takes it for a tag."""
    return f"`{cell}`" if cell.startswith("<") else cell


def escape(cell: str) -> str:
    """Nothing in a cell ends it, opens a tag or, outside code, turns bold."""
    plain = cell.replace("\n", " ")
    if "`" not in plain:
        return plain.replace("*", "\\*").replace("<", "&lt;").replace("|", "\\|")
    # In code, one renderer shows the backslash of an escaped bar and another needs it: as a tag, both show the bar.
    return re.sub(r"`([^`]*\|[^`]*)`", _tag_code, plain).replace("|", "\\|")


def _tag_code(match: re.Match[str]) -> str:
    return f"<code>{html.escape(match[1], quote=False).replace('|', '&#124;')}</code>"
