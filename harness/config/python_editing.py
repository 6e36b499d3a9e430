"""Python source with one mechanical change, every other letter as it was. What comes out is parsed again."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator

from preflight_ocr.harness.config.editing import CannotEdit

__all__ = ["CannotEdit", "rename_identifier", "rename_keyword", "set_keyword"]


def set_keyword(text: str, line: int, name: str, value: str, *, call: str = "") -> str:
    """The call at `line` (1-based) with the keyword `name` set to the source `value`, added at its end where it is absent.

    `call` is the last part of the name that is called; without it, the call that has the keyword. Raises CannotEdit where
    the line has no such call, or more than one.
    """
    calls = [node for node in _list_calls(_parse(text)) if node.lineno <= line <= (node.end_lineno or node.lineno)]
    named = [node for node in calls if call and _name_call(node) == call and node.lineno == line]
    given = [node for node in calls if any(k.arg == name and k.value.lineno == line for k in node.keywords)]
    found = named or given
    if len(found) != 1:
        raise CannotEdit(f"line {line} has {len(found)} calls that take `{name}`, expected one")
    node = found[0]
    lines = text.splitlines(keepends=True)
    keyword = next((k for k in node.keywords if k.arg == name), None)
    if keyword is not None:
        start, end = _find_offsets(lines, keyword.value)
        edited = text[:start] + value + text[end:]
    else:
        _, end = _find_offsets(lines, node)
        inside = text[: end - 1].rstrip()
        comma = "" if inside.endswith(("(", ",")) else ","
        space = "" if inside.endswith("(") else " "
        edited = f"{inside}{comma}{space}{name}={value}{text[len(inside) :]}"
    _parse(edited)
    return edited


def rename_identifier(text: str, old: str, new: str) -> str:
    """Every name `old` as `new`; strings and comments stay. Raises CannotEdit where `new` is a name of this file already."""
    if not (old.isidentifier() and new.isidentifier()):
        raise CannotEdit(f"`{old}` -> `{new}` is more than another name")
    _parse(text)
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    if any(token.type == tokenize.NAME and token.string == new for token in tokens):
        raise CannotEdit(f"`{new}` is a name in this file already")
    lines = text.splitlines(keepends=True)
    for token in reversed(tokens):
        if token.type == tokenize.NAME and token.string == old:
            row, at = token.start[0] - 1, token.start[1]
            lines[row] = lines[row][:at] + new + lines[row][at + len(old) :]
    edited = "".join(lines)
    _parse(edited)
    return edited


def rename_keyword(text: str, line: int, old: str, new: str) -> str:
    """The keyword argument `old` at `line` (1-based) as `new`. Raises CannotEdit where not exactly one call has it there."""
    given = [
        (node, keyword)
        for node in _list_calls(_parse(text))
        for keyword in node.keywords
        if keyword.arg == old and keyword.lineno == line
    ]
    if len(given) != 1 or any(keyword.arg == new for keyword in given[0][0].keywords) or not new.isidentifier():
        raise CannotEdit(f"line {line} does not have `{old}=` in one call that lacks `{new}=`")
    start, _ = _find_offsets(text.splitlines(keepends=True), given[0][1])
    edited = text[:start] + new + text[start + len(old) :]
    _parse(edited)
    return edited


def _parse(text: str) -> ast.Module:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError) as error:
        raise CannotEdit(f"this is not Python: {error}") from None


def _list_calls(tree: ast.Module) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def _name_call(node: ast.Call) -> str:
    called = node.func
    return called.id if isinstance(called, ast.Name) else called.attr if isinstance(called, ast.Attribute) else ""


def _find_offsets(lines: list[str], node: ast.expr | ast.keyword) -> tuple[int, int]:
    """Where the node begins and ends in the text. The tree counts columns in bytes of UTF-8."""

    def find(line: int, column: int) -> int:
        before = lines[line - 1].encode("utf-8")[:column].decode("utf-8")
        return sum(map(len, lines[: line - 1])) + len(before)

    assert node.end_lineno is not None and node.end_col_offset is not None
    return find(node.lineno, node.col_offset), find(node.end_lineno, node.end_col_offset)
