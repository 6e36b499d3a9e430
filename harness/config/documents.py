"""YAML that somebody else wrote: parsed once, in bounded time and memory, with the line of every key.

An alias costs nothing while it is parsed and everything once somebody walks what it stands for, so the entries are counted
with every alias written out, before anything is built.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from preflight_ocr.harness.foreign.files import read_bytes
from preflight_ocr.harness.foreign.text import clean_line

LARGEST = 2**20
"""Bytes of a YAML file: some hundred times the longest configuration that was ever seen."""

_MOST_ENTRIES = 100_000
_LONGEST_NUMBER = 40  # characters
_HALF = re.compile("[\ud800-\udfff]")
_TEXT = "tag:yaml.org,2002:str"
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


class BrokenYaml(ValueError):
    """The file is no YAML, or none that can be worked with. `line` and `column` are counted from 1."""

    def __init__(self, message: str, line: int | None = None, column: int | None = None) -> None:
        self.message, self.line, self.column = message, line, column
        super().__init__(message)


def read_yaml(path: Path) -> tuple[Any, dict[str, int]]:
    """The document, and dotted key -> its line, as deep as sections go. Raises OSError and BrokenYaml."""
    try:
        text = read_bytes(path, limit=LARGEST).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise BrokenYaml(f"byte {error.start} is not UTF-8; save the file as UTF-8", line) from None
    return parse_yaml(text)


def parse_yaml(text: str) -> tuple[Any, dict[str, int]]:
    """As `read_yaml`, for text. Raises BrokenYaml."""
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None, {}
        _refuse_expansion(node, loader)
        lines = dict(_find_lines(node))
        return loader.construct_document(node), lines
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (mark.line + 1, mark.column + 1) if mark else (None, None)
        raise BrokenYaml(_explain(error, text), *place) from None
    except BrokenYaml:
        raise
    except RecursionError:
        raise BrokenYaml(
            "this is not readable YAML: it is nested too deep; expected sections such as `model:`"
        ) from None
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, OverflowError) as error:
        raise BrokenYaml(f"this is not readable YAML ({error}); expected sections such as `model:`") from None


def _refuse_expansion(root: yaml.Node, loader: yaml.SafeLoader) -> None:
    """Count the entries with every alias written out; join the halves of surrogate pairs that JSON escapes give."""
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()
    stack = [(root, False)]
    while stack:
        node, done = stack.pop()
        key = id(node)
        children = list(_list_children(node))
        if done:
            open_nodes.discard(key)
            sizes[key] = 1 + sum(sizes[id(child)] for child in children)
            if sizes[key] > _MOST_ENTRIES:
                seen = f"with its aliases written out it has more than {_MOST_ENTRIES:,} entries"
                raise BrokenYaml(f"this is no configuration: {seen}; write the values out", *_place(node))
            continue
        if key in sizes or key in open_nodes:
            continue
        if isinstance(node, yaml.ScalarNode):
            _check_scalar(node, loader)
        elif isinstance(node, yaml.MappingNode):
            _refuse_twins(node)
        open_nodes.add(key)
        stack.append((node, True))
        for child in children:
            if id(child) in open_nodes:
                raise BrokenYaml("an alias stands inside what it stands for; write the value out", *_place(child))
            if id(child) not in sizes:
                stack.append((child, False))


def _refuse_twins(node: yaml.MappingNode) -> None:
    """A key that stands twice: YAML's readers keep the last value, and say nothing of the others."""
    seen: dict[str, int] = {}
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode) and key.tag == _TEXT:
            line = key.start_mark.line + 1
            if key.value in seen:
                shown = clean_line(key.value, limit=100)
                raise BrokenYaml(
                    f"`{shown}` stands twice, first in line {seen[key.value]}; keep one of them", *_place(key)
                )
            seen[key.value] = line


def _list_children(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key
            yield value
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value


def _check_scalar(node: yaml.ScalarNode, loader: yaml.SafeLoader) -> None:
    if _HALF.search(node.value):
        try:
            node.value = node.value.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
        except UnicodeDecodeError:
            raise BrokenYaml(
                "half of a surrogate pair stands here; write the letter itself, in UTF-8", *_place(node)
            ) from None
    if node.tag in _NUMBERS and len(node.value) > _LONGEST_NUMBER:
        raise BrokenYaml(f"a number of {len(node.value):,} characters stands here, expected at most 40", *_place(node))
    if node.tag == _TEXT or node.tag not in loader.yaml_constructors:
        return
    try:
        loader.construct_object(node)
    except (ValueError, LookupError, AttributeError, TypeError, OverflowError) as error:
        # What PyYAML raises for a value that does not fit its tag: a month 13, `!!bool maybe`, `!!timestamp x`, `!!int ""`.
        kind, shown = node.tag.rpartition(":")[2], clean_line(node.value, limit=100)
        message = f"`{shown}` cannot be read as a {kind} ({error}); correct it, or put it in quotes"
        raise BrokenYaml(message, *_place(node)) from None


def _place(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _find_lines(node: yaml.Node | None, prefix: str = "") -> Iterator[tuple[str, int]]:
    """Dotted key -> line, counted from 1, as deep as sections go."""
    if isinstance(node, yaml.MappingNode) and prefix.count(".") < 3:
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                path = f"{prefix}{key.value}"
                yield path, key.start_mark.line + 1
                yield from _find_lines(value, f"{path}.")


def _explain(error: yaml.MarkedYAMLError, text: str) -> str:
    problem = (error.problem or "this is not YAML").strip()
    if "escape" in problem:
        advice = "a backslash starts an escape inside double quotes: use single quotes or forward slashes"
    elif "\\t" in problem or "\t" in problem:
        advice = "YAML forbids tabs for indentation: use spaces"
    else:
        advice = "check indentation, quotes, brackets and colons on this line and the one before"
    mark = error.problem_mark
    lines = text.splitlines()
    shown = clean_line(lines[mark.line].strip(), limit=200) if mark and mark.line < len(lines) else ""
    seen = f" in `{shown}`" if shown else ""
    return f"broken YAML: {problem}{seen}; {advice}"
