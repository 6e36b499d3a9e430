"""What a training row holds, whoever wrote its form: its pictures and the text to be learned.

Known are columns (`image_path`, `image`, `file_name`; `text`, `answer`, `suffix`, `ground_truth`), chats as `messages` with
parts, and ShareGPT's `conversations`. What is not found is None or empty: nobody guesses.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

_PICTURES = ("image_path", "image", "file_name", "images", "image_paths", "img_path")
_TARGETS = ("text", "answer", "suffix", "ground_truth", "response", "output", "label", "transcription")
_CHATS = ("messages", "conversations", "conversation")
_ANSWERING = ("assistant", "gpt", "model")


def list_pages(row: Mapping[str, Any]) -> tuple[str, ...]:
    """The paths of the row's pictures, in their order; none for pictures that are no paths."""
    for name in _PICTURES:
        if found := tuple(_list_paths(row.get(name))):
            return found
    parts = (part for turn in _list_turns(row) for part in _list_parts(turn))
    named = (part.get(key) for part in parts if part.get("type") == "image" for key in ("image", "path", "url"))
    return tuple(path for value in named for path in _list_paths(value))


def find_target(row: Mapping[str, Any]) -> str | None:
    """The text that the row asks to be learned: all that the assistant says, or the column that holds the answer."""
    if isinstance(row.get("text"), str):
        return str(row["text"])
    turns = list(_list_turns(row))
    said = [text for turn in turns if _name_role(turn) in _ANSWERING for text in _list_texts(turn)]
    if turns:
        return "\n".join(said) if said else None
    for name in _TARGETS:
        if isinstance(row.get(name), str):
            return _read_ground_truth(row[name]) if name == "ground_truth" else str(row[name])
    return None


def is_known(row: Mapping[str, Any]) -> bool:
    """Whether the row has one of the forms above, filled or not, or nothing but pictures."""
    return any(name in row for name in (*_TARGETS, *_CHATS)) or set(row) <= {*_PICTURES}


def _list_paths(value: Any) -> Iterator[str]:
    if isinstance(value, str) and value.strip():
        yield value
    elif isinstance(value, Mapping):
        yield from _list_paths(value.get("path"))
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _list_paths(one)


def _list_turns(row: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for name in _CHATS:
        turns = row.get(name)
        if isinstance(turns, list | tuple):
            yield from (turn for turn in turns if isinstance(turn, Mapping))


def _name_role(turn: Mapping[str, Any]) -> str:
    return str(turn.get("role", turn.get("from", "")))


def _list_parts(turn: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    content = turn.get("content", turn.get("value"))
    if isinstance(content, list | tuple):
        yield from (part for part in content if isinstance(part, Mapping))


def _list_texts(turn: Mapping[str, Any]) -> Iterator[str]:
    content = turn.get("content", turn.get("value"))
    if isinstance(content, str):
        yield content
    yield from (part["text"] for part in _list_parts(turn) if isinstance(part.get("text"), str))


def _read_ground_truth(text: str) -> str:
    """Donut's form: JSON with `gt_parse`, of which a text alone is what is written; else the text as it stands."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return text
    parsed = content.get("gt_parse") if isinstance(content, dict) else None
    inner = parsed.get("text_sequence") if isinstance(parsed, dict) else parsed
    return inner if isinstance(inner, str) else text
