"""Markdown tables whose cells cannot break them."""

from __future__ import annotations

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
    plain = cell if "`" in cell else cell.replace("*", "\\*").replace("<", "&lt;")
    return plain.replace("|", "\\|").replace("\n", " ")
