"""What a training row holds, whoever wrote its form: its pictures, what is asked and the text to be learned.

Known are columns (`image_path`, `image`, `file_name`; `text`, `answer`, `suffix`, `ground_truth`), chats as `messages` with
parts or with markers, TRL's `prompt` and `completion`, and ShareGPT's `conversations`. What is not found is None or empty:
nobody guesses.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

Step = str | int
ASSISTANT = ("assistant", "gpt", "model", "bot", "chatgpt")
TURNS = ("messages", "conversations", "conversation", "dialog", "chosen")
MARKER = "<image>"
"""How LLaVA, LLaMA-Factory and ms-swift write in a text that a picture stands there."""

_PICTURES = ("image_path", "image", "file_name", "images", "image_paths", "img_path")
_TARGETS = (
    "text", "answer", "suffix", "ground_truth", "gt_parse", "response", "output", "completion", "answers", "label",
    "transcription", "transcript", "markdown", "latex", "caption",
)  # fmt: skip
_QUESTIONS = ("question", "query", "instruction", "prefix", "prompt", "problem")
_ASKING = ("user", "human")
_IMAGE_PARTS = ("image", "image_url")


class Page(NamedTuple):
    """A picture of a row: where it stands, and the name of its file, its bytes, or whatever a program put there."""

    path: tuple[Step, ...]
    value: Any


def find_pages(row: Mapping[str, Any]) -> tuple[Page, ...]:
    """The row's pictures in their order: of the first column that holds any, else of the parts of its turns."""
    for name in _PICTURES:
        if found := tuple(_list_pages(row.get(name), (name,))):
            return found
    return tuple(page for place, part in _list_parts(row) for page in _list_part_pages(part, place))


def list_pages(row: Mapping[str, Any]) -> tuple[str, ...]:
    """The paths of the row's pictures, in their order; none for pictures that are no paths."""
    return tuple(page.value for page in find_pages(row) if isinstance(page.value, str))


def name_page(page: Page) -> str:
    """What to call a picture: its file, else where it stands in the row."""
    return page.value if isinstance(page.value, str) else ".".join(map(str, page.path))


def find_target(row: Mapping[str, Any]) -> str | None:
    """The text that the row asks to be learned: all that the assistant says, or the column that holds the answer."""
    if isinstance(row.get("text"), str):
        return str(row["text"])
    turns = list_turns(row)
    said = [read_turn(turn) for turn in turns if is_answer(turn)]
    if said:
        return "\n".join(said)
    if any(is_turns(row.get(name)) for name in TURNS):
        return None
    return next((text for name in _TARGETS if (text := _read_target(name, row.get(name))) is not None), None)


def find_prompt(row: Mapping[str, Any]) -> str | None:
    """What the row asks, without the markers of its pictures; None where it asks nothing of its own."""
    asked = [read_turn(turn) for turn in list_turns(row) if name_role(turn) in _ASKING]
    if asked:
        return _strip_markers(asked[0]) or None
    for name in _QUESTIONS:
        if isinstance(row.get(name), str) and row[name].strip():
            more = row.get("input") if name == "instruction" else None
            return _strip_markers("\n".join(filter(None, (row[name], more if isinstance(more, str) else "")))) or None
    return None


def explain_unfit(row: Mapping[str, Any]) -> str:
    """Why a collator of one picture, one question and one answer cannot make of this row what it says; "" where it can."""
    pages, turns = find_pages(row), list_turns(row)
    answers = sum(map(is_answer, turns))
    marked = sum(read_turn(turn).count(MARKER) for turn in turns if name_role(turn) in _ASKING)
    if len(pages) > 1:
        return f"has {len(pages)} pictures, expected one: join its pages, or give each a row"
    if marked and marked != len(pages):
        return f"has {marked} times {MARKER} in what is asked, and {len(pages)} pictures"
    if answers > 1:
        return f"has {answers} turns of the assistant, expected one: give each a row"
    if any(name_role(turn) == "system" and read_turn(turn).strip() for turn in turns):
        return "has a turn of the system, which our own collator has no place for: put it into what is asked"
    return ""


def is_known(row: Mapping[str, Any]) -> bool:
    """Whether the row has one of the forms above, filled or not, or nothing but pictures."""
    return (
        any(name in row for name in _TARGETS)
        or any(is_turns(row.get(name)) for name in TURNS)
        or set(row) <= {*_PICTURES}
    )


def tell_unknown(row: Mapping[str, Any]) -> str:
    """That no column of the row is known to hold text, with the nearest name that would be."""
    known = (*_TARGETS, *TURNS)
    named = [str(name) for name in row][:20]
    near = next(
        (
            f"; {name} is nearest to {close[0]}"
            for name in named
            if name not in (*_PICTURES, *_QUESTIONS) and (close := difflib.get_close_matches(name, known, n=1))
        ),
        "",
    )
    shown = "text, answer, suffix, ground_truth, response, completion, messages or conversations"
    return f"no column of {', '.join(named)} is known to hold text{near}; known: {shown}"


def place_pages(row: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The row with whole paths in place of what its pictures are called from `folder`."""
    placed: Any = dict(row)
    for page in find_pages(row):
        if isinstance(page.value, str) and "\0" not in page.value:
            placed = put_at(placed, page.path, str(folder / page.value.removeprefix("file://")))
    return placed  # type: ignore[no-any-return]


def reshape(row: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The row as our own collator takes it: `image_path`, or the picture itself in `page`; `text`; `prompt` where it asks.

    A row that has these names already keeps all it has. Ask `explain_unfit` before.
    """
    placed, prompt = place_pages(row, folder), find_prompt(row)
    asked = {} if prompt is None else {"prompt": prompt}
    if is_ours(row, find_pages(row)):
        return {**placed, **asked}
    made: dict[str, Any] = {"text": find_target(row), **asked}
    for page in find_pages(placed)[:1]:
        made["image_path" if isinstance(page.value, str) else "page"] = page.value
    return made


def is_ours(row: Mapping[str, Any], pages: Sequence[Page]) -> bool:
    """Whether a row has our own names: `text`, and `image_path` where it has a picture."""
    has_text = isinstance(row.get("text"), str) and not list_turns(row)
    return has_text and isinstance(row.get("image_path"), str | None) and ("image_path" in row or not pages)


def is_turns(value: Any) -> TypeGuard[Sequence[Mapping[str, Any]]]:
    """Whether a value is a chat: a list of turns."""
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(turn, Mapping) for turn in value)


def list_turns(row: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """The turns of the row's chat, the completion's after the prompt's."""
    for names in (*((name,) for name in TURNS), ("prompt", "completion")):
        if found := tuple(turn for name in names if is_turns(row.get(name)) for turn in row[name]):
            return found
    return ()


def name_role(turn: Mapping[str, Any]) -> str:
    """Who speaks, in small letters."""
    return str(turn.get("role") or turn.get("from") or "").lower()


def is_answer(turn: Mapping[str, Any]) -> bool:
    """Whether the assistant speaks."""
    return name_role(turn) in ASSISTANT


def read_turn(turn: Mapping[str, Any]) -> str:
    """The text of one turn: a string, or the text parts of a list."""
    content = turn.get("content", turn.get("value", ""))
    if isinstance(content, str):
        return content
    if isinstance(content, Mapping):
        content = [content]
    parts = content if isinstance(content, list | tuple) else []
    return "".join(
        str(part.get("text") or "") if isinstance(part, Mapping) else str(part) if isinstance(part, str) else ""
        for part in parts
    )


def get_at(row: Any, path: Sequence[Step]) -> Any:
    """The value at a path of a row."""
    for step in path:
        row = row[step]
    return row


def put_at(row: Any, path: Sequence[Step], value: Any) -> Any:
    """A copy of the row with another value at that path; what lies beside the path is shared."""
    if not path:
        return value
    step = path[0]
    changed = put_at(row[step], path[1:], value)
    if isinstance(row, Mapping):
        return {**row, step: changed}
    items = list(row)
    items[int(step)] = changed
    return type(row)(items) if type(row) in (list, tuple) else items


def _list_pages(value: Any, path: tuple[Step, ...]) -> Iterator[Page]:
    if isinstance(value, str | bytes):
        if value.strip():
            yield Page(path, value)
    elif isinstance(value, Mapping):
        if isinstance(value.get("bytes"), bytes):  # `datasets` before it decodes
            yield Page(path, value["bytes"])
        else:
            for name in ("path", "url"):
                yield from _list_pages(value.get(name), (*path, name))
    elif isinstance(value, list | tuple):
        for index, one in enumerate(value):
            yield from _list_pages(one, (*path, index))
    elif hasattr(value, "convert") and hasattr(value, "size"):  # a Pillow image
        yield Page(path, value)


def _list_parts(row: Mapping[str, Any]) -> Iterator[tuple[tuple[Step, ...], Mapping[str, Any]]]:
    for name in (*TURNS, "prompt", "completion"):
        for number, turn in enumerate(row[name]) if is_turns(row.get(name)) else ():
            for key in ("content", "value"):
                parts = turn.get(key)
                for place, part in enumerate(parts) if isinstance(parts, list | tuple) else ():
                    if isinstance(part, Mapping):
                        yield (name, number, key, place), part


def _list_part_pages(part: Mapping[str, Any], place: tuple[Step, ...]) -> Iterator[Page]:
    if part.get("type") in _IMAGE_PARTS:
        for key in ("image", "path", "url", "image_url"):
            yield from _list_pages(part.get(key), (*place, key))


def _read_target(name: str, value: Any) -> str | None:
    if isinstance(value, list | tuple) and value and name in ("answers", "answer"):
        value = value[0]  # any of them is right; the first is the one that is meant
    if name == "gt_parse" and value is not None:
        return _write_parsed(value)
    if not isinstance(value, str):
        return None
    return _read_ground_truth(value) if name == "ground_truth" else value


def _read_ground_truth(text: str) -> str:
    """Donut's form: JSON with `gt_parse`, of which a text alone is what is written; else the text as it stands."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return text
    parsed = content.get("gt_parse") if isinstance(content, dict) else None
    return text if parsed is None else _write_parsed(parsed)


def _write_parsed(parsed: Any) -> str:
    inner = parsed.get("text_sequence") if isinstance(parsed, Mapping) else parsed
    return inner if isinstance(inner, str) else json.dumps(parsed, ensure_ascii=False)


def _strip_markers(text: str) -> str:
    return text.replace(MARKER, "").strip()
