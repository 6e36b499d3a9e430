"""A YAML text with some keys changed and every other letter, comment and order of it as it was.

Values are replaced at the places that the parser names. What comes out is parsed again and must say what was meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from preflight_ocr.harness.config.compat import modern_name
from preflight_ocr.harness.config.documents import BrokenYaml, parse_yaml
from preflight_ocr.harness.config.keys import OPEN_SECTIONS


class CannotEdit(ValueError):
    """This text cannot be changed without touching more than was asked for."""


def rename_key(text: str, old: str, new: str) -> str:
    """The dotted key `old` under the name `new`, in the same section. Raises CannotEdit."""
    section, _, name = new.rpartition(".")
    mapping = _find(text, section) if section == old.rpartition(".")[0] else None
    pair = _find_pair(mapping, old.rpartition(".")[2])
    if pair is None or _find_pair(mapping, name) is not None:
        raise CannotEdit(f"`{old}` cannot be renamed to `{new}` where it stands")
    key, _ = pair
    edited = text[: key.start_mark.index] + name + text[key.end_mark.index :]
    document = _unshare(parse_yaml(text)[0])
    there = _open(document, section)
    there[name] = there.pop(old.rpartition(".")[2])
    return _prove(edited, document)


def set_key(text: str, path: str, value: Any) -> str:
    """The dotted key `section.name` with this scalar or list, added where it is absent. Raises CannotEdit."""
    path = _find_given_name(text, path)
    section, _, name = path.rpartition(".")
    written = yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("\n...\n").removesuffix("\n")
    mapping = _find(text, section)
    pair = None if mapping is None else _find_pair(mapping, name)
    if pair is not None:
        node = pair[1]
        is_listed = isinstance(node, yaml.SequenceNode) and bool(node.flow_style)
        is_one = isinstance(node, yaml.ScalarNode) and node.start_mark.index != node.end_mark.index
        if not (is_one or is_listed):
            raise CannotEdit(f"`{path}` does not hold one value")
        edited = text[: node.start_mark.index] + written + text[node.end_mark.index :]
    elif mapping is None:
        edited = f"{text.rstrip()}\n{section}:\n  {name}: {written}\n"
    else:
        first = mapping.value[0][0].start_mark
        after = ", " if mapping.flow_style else "\n" + " " * first.column
        edited = f"{text[: first.index]}{name}: {written}{after}{text[first.index :]}"
    document = _unshare(parse_yaml(text)[0])
    _open(document, section)[name] = value
    return _prove(edited, document)


def delete_key(text: str, path: str) -> str:
    """Without the dotted key, its value and the comment in its line; without its section where nothing else is in it.

    Raises CannotEdit.
    """
    section, _, name = path.rpartition(".")
    mapping = _find(text, section)
    pair = _find_pair(mapping, name)
    if mapping is None or pair is None:
        raise CannotEdit(f"`{path}` is not where it can be deleted")
    if section and len(mapping.value) == 1:
        return delete_key(text, section)
    if mapping.flow_style:
        at = next(index for index, one in enumerate(mapping.value) if one[0] is pair[0])
        before, behind = mapping.value[at - 1 : at], mapping.value[at + 1 : at + 2]
        start = pair[0].start_mark.index if behind else before[0][1].end_mark.index
        end = behind[0][0].start_mark.index if behind else pair[1].end_mark.index
        edited = text[:start] + text[end:]
    else:
        lines = text.splitlines(keepends=True)
        del lines[pair[0].start_mark.line : _find_last_line(pair[1]) + 1]
        edited = "".join(lines)
    document = _unshare(parse_yaml(text)[0])
    del _open(document, section)[name]
    return _prove(edited, document)


def _find_last_line(node: yaml.Node) -> int:
    """The line in which the last letter of a value stands; a block ends only where the next key begins."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _find_last_line(last[1] if isinstance(last, tuple) else last)
    end = node.end_mark
    return end.line - 1 if end.column == 0 and end.line > node.start_mark.line else end.line


def _find_given_name(text: str, path: str) -> str:
    """The key under the name and in the section that the file uses for this field of TrainingArguments."""
    section, _, name = path.partition(".")
    document, _ = parse_yaml(text)
    if section in OPEN_SECTIONS and isinstance(document, dict):
        for given_section in ("training", "optimization"):
            for given in document.get(given_section) or {}:
                if modern_name(str(given)) == name:
                    return f"{given_section}.{given}"
    return path


def _find(text: str, section: str) -> yaml.MappingNode | None:
    """The mapping with the keys of a dotted section; None where it has none."""
    node = yaml.SafeLoader(text).get_single_node()
    for step in filter(None, section.split(".")):
        pair = _find_pair(node, step)
        node = None if pair is None else pair[1]
    return node if isinstance(node, yaml.MappingNode) and node.value else None


def _find_pair(node: yaml.Node | None, name: str) -> tuple[yaml.Node, yaml.Node] | None:
    pairs: list[tuple[yaml.Node, yaml.Node]] = node.value if isinstance(node, yaml.MappingNode) else []
    return next((pair for pair in pairs if pair[0].value == name), None)


def _open(document: Any, section: str) -> dict[str, Any]:
    for step in filter(None, section.split(".")):
        if not isinstance(document.get(step), dict):
            document[step] = {}
        document = document[step]
    here: dict[str, Any] = document
    return here


def _unshare(value: Any) -> Any:
    """Without what aliases share: one place of it is to be changed, not all."""
    if isinstance(value, dict):
        return {key: _unshare(item) for key, item in value.items()}
    return [_unshare(item) for item in value] if isinstance(value, list) else value


def _prove(edited: str, expected: Mapping[str, Any]) -> str:
    try:
        document, _ = parse_yaml(edited)
    except BrokenYaml as error:
        raise CannotEdit(error.message) from None
    if document != expected:
        raise CannotEdit("the text would say something else")
    return edited
