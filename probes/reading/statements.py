"""Which statements of a collator make which entry of its batch, by its syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from preflight_ocr.harness.facts import Site
from preflight_ocr.probes.reading.source import Source

MOST = 3  # statements for one entry


def find_entries(sources: Iterable[Source]) -> dict[str, tuple[Site, ...]]:
    """Key of a batch -> the statements that give it its value, the last of them first; MOST of them.

    A key is one of a dict that is written out, one that is assigned to (`batch["labels"] = ...`), or a keyword of `dict` and
    of `update`. Where its value is a
    variable, the statements are those of the same function that assign that variable, or a part of it.
    """
    found: dict[str, list[Site]] = {}
    for source in sources:
        for function in (node for node, _ in source.nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
            made = list(_find_assigned(function))
            for key, value, statement in _find_keyed(function):
                places: list[ast.AST] = [
                    node for name, node in made if isinstance(value, ast.Name) and name == value.id
                ]
                sites = found.setdefault(key, [])
                sites += [source.site(node) for node in (*reversed(places), *([] if places else [statement]))]
    return {key: tuple(dict.fromkeys(sites))[:MOST] for key, sites in found.items()}


def _find_keyed(function: ast.AST) -> Iterator[tuple[str, ast.expr, ast.AST]]:
    """(key, its value, where that stands), the last statement first."""
    found: list[tuple[str, ast.expr, ast.AST]] = []
    for node in ast.walk(function):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(key.value, str) and key.value.isidentifier():
                    found.append((key.value, value, value))
        elif isinstance(node, ast.Call) and _makes_entries(node.func):
            found += [(keyword.arg, keyword.value, keyword.value) for keyword in node.keywords if keyword.arg]
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                key = target.slice if isinstance(target, ast.Subscript) else None
                if isinstance(key, ast.Constant) and isinstance(key.value, str) and key.value.isidentifier():
                    found.append((key.value, node.value, node))
    yield from sorted(found, key=lambda entry: -getattr(entry[2], "lineno", 0))


def _makes_entries(called: ast.expr) -> bool:
    return (isinstance(called, ast.Name) and called.id == "dict") or (
        isinstance(called, ast.Attribute) and called.attr == "update"
    )


def _find_assigned(function: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """(variable, statement) for each statement that assigns a variable or changes it in place, in the order of the lines."""
    found: list[tuple[str, ast.AST]] = []
    for node in ast.walk(function):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AugAssign | ast.AnnAssign):
            targets = [node.target]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _changes(node.func.attr):
            targets = [node.func.value]
        found += [(name, node) for target in targets for name in _list_names(target)]
    yield from sorted(found, key=lambda entry: getattr(entry[1], "lineno", 0))


def _changes(method: str) -> bool:
    """Whether a method changes what it is called on: a list's own, or one of torch's that end in an underscore."""
    return method in ("append", "extend", "insert") or (method.endswith("_") and not method.startswith("_"))


def _list_names(target: ast.expr) -> Iterator[str]:
    """The variables that are assigned, or a part of which is."""
    if isinstance(target, ast.Tuple | ast.List):
        for element in target.elts:
            yield from _list_names(element)
    elif isinstance(target, ast.Subscript | ast.Starred):
        yield from _list_names(target.value)
    elif isinstance(target, ast.Name):
        yield target.id
