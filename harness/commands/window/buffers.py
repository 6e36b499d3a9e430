"""Buffers that a model's code computes when it is built and saves nowhere: releases that build without memory lose them."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from preflight_ocr.harness.facts import Site
from preflight_ocr.probes.reading.source import Function, Source, get_text_argument

_SETTERS = ("_init_weights", "_initialize_weights", "reset_parameters")


def find_unsaved_buffers(sources: Sequence[Source]) -> Iterator[tuple[str, Site]]:
    """(name, place) of each `register_buffer(name, ..., persistent=False)` that no initialising method mentions."""
    mentioned = {word for source in sources for word in _list_mentioned(source)}
    for source in sources:
        for node, _ in source.nodes:
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if node.func.attr != "register_buffer" or not _is_unsaved(node):
                continue
            name = get_text_argument(node, 0, "name")
            if name and name not in mentioned:
                yield name, source.site(node)


def _is_unsaved(call: ast.Call) -> bool:
    given = [keyword.value for keyword in call.keywords if keyword.arg == "persistent"] or call.args[2:3]
    return bool(given) and isinstance(given[0], ast.Constant) and given[0].value is False


def _list_mentioned(source: Source) -> Iterator[str]:
    """Attributes and texts inside the methods that give a new model its values."""
    for node, _ in source.nodes:
        if isinstance(node, Function) and node.name in _SETTERS:
            for inner in ast.walk(node):
                if isinstance(inner, ast.Attribute):
                    yield inner.attr
                elif isinstance(inner, ast.Constant) and isinstance(inner.value, str):
                    yield inner.value
