"""One YAML file becomes one frozen, validated Config.

Only the YAML file is read here: no model, no data, no library that takes longer to import than the file takes to parse.
Every key either has an effect, named in `EFFECTS`, or can be reported: `Config.unknown_keys` holds the names nobody
knows, `inert_keys` the known ones that change nothing in this file's setting.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from preflight_ocr.harness.config import compat
from preflight_ocr.harness.config.documents import BrokenYaml, read_yaml
from preflight_ocr.harness.config.errors import ConfigError
from preflight_ocr.harness.config.hub import find_dataset
from preflight_ocr.harness.config.keys import (
    ALIASES,
    OPEN_SECTIONS,
    PATHS,
    ROWS,
    SECTIONS,
    find_nearest,
    is_known,
    training_name,
)
from preflight_ocr.harness.config.ranges import refuse_numbers
from preflight_ocr.harness.config.schema import Config, TrainingSection, UnknownKey
from preflight_ocr.harness.foreign.files import expand, find_working_folder, is_there
from preflight_ocr.harness.foreign.text import clean_line

_TEXTS = ("data.prompt",)
_MOST_SLIPS = 100
_LONGEST_SLIP = 100  # characters
_SCIENTIFIC = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)[eE][+-]?\d+")


_PART = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def load_config(path: Path, *, trust: bool | None = None) -> Config:
    """Read and validate one YAML file.

    Relative paths are taken from the YAML file's directory when they exist there, else from the working directory.
    `trust`, where given, stands in place of the file's `model.trust_remote_code`.
    Raises ConfigError for a file that cannot be read or parsed, or whose values have the wrong type.
    """
    path = _find_source(Path(path))
    try:
        document, lines = read_yaml(path)
    except FileNotFoundError:
        raise ConfigError(path, f"there is no such file; {_name_nearest(path)}") from None
    except IsADirectoryError:
        raise ConfigError(path, "this is a directory; give the path of a YAML file in it") from None
    except OSError as error:
        raise ConfigError(path, f"cannot be read: {error.strerror}; give the path of a YAML file") from None
    except BrokenYaml as error:
        raise ConfigError(path, error.message, line=error.line, column=error.column) from None
    if not isinstance(document, dict):
        seen = "an empty file" if document is None else f"a {type(document).__name__}"
        raise ConfigError(path, f"seen {seen}, expected a mapping of sections; begin with `model: {{base_model: DIR}}`")
    config = build_config(document, source=path, lines=lines)
    if trust is None:
        return config
    return msgspec.structs.replace(config, model=msgspec.structs.replace(config.model, trust_remote_code=trust))


def build_config(document: Mapping[str, Any], *, source: Path, lines: Mapping[str, int] | None = None) -> Config:
    """Validate an already parsed document. `lines` maps dotted keys to their line in `source`, for messages."""
    lines = dict(lines or {})
    sections = {
        name: _open_mapping(document, name, source, lines)
        for name in {**SECTIONS, **dict.fromkeys(OPEN_SECTIONS)}
        if "." not in name
    }
    given: list[str] = []
    foreign = [str(key) for key in document if key not in sections]
    values: dict[str, Any] = {}
    for path, value in _walk(sections, source, lines):
        if is_known(path):
            given.append(ALIASES.get(path, path))
            if path in lines:
                lines.setdefault(given[-1], lines[path])
            values[path] = _clean(path, value, source)
        else:
            foreign.append(path)
    _require(values, source, lines)
    tree = _fold(values)
    tree["training"] = _merge_training(tree.get("training", {}), tree.get("optimization", {}))
    optimization = tree.get("optimization", {})
    tree["optimization"] = {"optimizer": optimization.get("optimizer"), "arguments": optimization}
    tree["subject"] = {"path": str(source.parent)} | tree.get("subject", {})
    tree |= {"source": str(source), "given": given, "lines": lines}
    try:
        config = msgspec.convert(tree, Config, strict=False, dec_hook=_decode_path)
    except msgspec.ValidationError as error:
        raise _explain_value(error, values, source, lines) from None
    refuse_numbers(values, source, lines)
    return msgspec.structs.replace(config, unknown_keys=tuple(_describe_unknown(foreign, lines)))


def _describe_unknown(keys: Iterable[str], lines: Mapping[str, int]) -> Iterator[UnknownKey]:
    """The nearest known key is looked for as long as somebody may have mistyped; a hundred are no slips of a finger."""
    for number, key in enumerate(keys):
        nearest = find_nearest(key) if number < _MOST_SLIPS and len(key) < _LONGEST_SLIP else None
        yield UnknownKey(path=clean_line(key, limit=200), nearest=nearest, line=lines.get(key))


def _name_nearest(path: Path) -> str:
    """What to type: a YAML file of nearly this name in the same folder, where there is one."""
    try:
        names = [entry.name for entry in path.parent.iterdir() if entry.suffix in (".yaml", ".yml")]
    except OSError:
        names = []
    close = difflib.get_close_matches(path.name, names, n=1)
    return f"did you mean {close[0]}?" if close else "give the path of a YAML file"


def _find_source(path: Path) -> Path:
    try:
        found = find_working_folder() / path
    except OSError as error:
        raise ConfigError(path, f"{error.strerror}, or give the whole path") from None
    _refuse_name(found, "", found)
    return found


def _refuse_name(path: Path, key: str, source: Path) -> None:
    """Names travel to children and into reports as UTF-8: one that is not cannot be carried, nor named by what is saved."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        said = f"`{key}` means a path" if key else "this path"
        message = f"{said} whose name is not UTF-8 ({clean_line(str(path))}); rename the file or the folder"
        raise ConfigError(source, message) from None


def _open_mapping(parent: Mapping[str, Any], name: str, source: Path, lines: Mapping[str, int]) -> Mapping[str, Any]:
    section = parent.get(name.rpartition(".")[2])
    if section is None:
        return {}
    if not isinstance(section, dict):
        message = f"`{name}` is {section!r:.200}, expected a mapping; write its keys below it, indented"
        raise ConfigError(source, message, line=lines.get(name))
    return section


def _walk(
    sections: Mapping[str, Mapping[str, Any]], source: Path, lines: Mapping[str, int]
) -> Iterator[tuple[str, Any]]:
    for name, section in sections.items():
        for key, value in section.items():
            path = f"{name}.{key}"
            if path in SECTIONS:
                yield from _walk({path: _open_mapping(section, path, source, lines)}, source, lines)
            else:
                yield path, value


def _clean(path: str, value: Any, source: Path) -> Any:
    """Undo what YAML 1.1 and Python habits do to scalars: `3e-4` is text there, `None` is a word."""
    if path not in _TEXTS and _has_line_break(value):
        message = f"`{path}` is {value!r:.200}, expected one line; take the line break out of `{path}`"
        raise ConfigError(source, message)
    if value == "None":
        return "none" if path in ("lora.bias", "training.report_to") else None
    if (
        isinstance(value, str)
        and path.startswith(("training.", "optimization."))
        and _SCIENTIFIC.fullmatch(value.strip())
    ):
        return float(value)
    if path in PATHS and isinstance(value, str):
        found = _locate(value, source.parent, source)
        if path in ROWS and not is_there(found):
            found = find_dataset(value) or found
        _refuse_name(found, path, source)
        return str(found)
    if path == "model.base_model" and isinstance(value, str):
        found = _locate(value, source.parent, source)
        _refuse_name(found, path, source)
        return str(found) if is_there(found) else value
    return value


def _has_line_break(value: Any) -> bool:
    """Whether a name, a path or a pattern goes over several lines: it would be none, and could forge lines of a report."""
    if isinstance(value, str):
        return "\n" in value or "\r" in value
    if isinstance(value, dict):
        return any(_has_line_break(item) for pair in value.items() for item in pair)
    return isinstance(value, list | set | tuple) and any(map(_has_line_break, value))


def _locate(text: str, directory: Path, source: Path) -> Path:
    path = expand(text)
    beside = directory / path
    if is_there(beside):
        return beside
    try:
        return find_working_folder() / path
    except OSError as error:
        raise ConfigError(source, f"{text!r} is looked for from the working directory, but {error.strerror}") from None


def _require(values: Mapping[str, Any], source: Path, lines: Mapping[str, int]) -> None:
    if not values.get("model.base_model"):
        message = (
            "`model.base_model` is missing; write the model directory or the hub id, as in `model: {base_model: DIR}`"
        )
        raise ConfigError(source, message, line=lines.get("model"))
    for part in ("model", "collator", "peft", "trainer", "dataset"):
        value = values.get(f"subject.{part}")
        if value is not None and not (isinstance(value, str) and _PART.fullmatch(value)):
            message = f'`subject.{part}` is {value!r:.200}, expected "package.module:function"'
            raise ConfigError(source, message, line=lines.get(f"subject.{part}"))


def _fold(values: Mapping[str, Any]) -> dict[str, Any]:
    """{"a.b.c": 1} -> {"a": {"b": {"c": 1}}}. A null leaves the default in place, except where null is a choice."""
    tree: dict[str, Any] = {}
    for path, value in values.items():
        if value is None and path != "lora.task_type" and not path.startswith(OPEN_SECTIONS):
            continue
        *sections, leaf = ALIASES.get(path, path).split(".")
        branch = tree
        for section in sections:
            branch = branch.setdefault(section, {})
        branch[leaf] = value
    return tree


def _merge_training(training: Mapping[str, Any], optimization: Mapping[str, Any]) -> dict[str, Any]:
    renamed = {"optim" if name == "optimizer" else name: value for name, value in optimization.items()}
    arguments = {name: value for name, value in {**renamed, **training}.items() if value is not None}
    typed = {compat.modern_name(name): value for name, value in arguments.items()}
    fields = set(TrainingSection.__struct_fields__) - {"arguments"}
    interpreted = {name: value for name, value in typed.items() if name in fields}
    return {**interpreted, "arguments": arguments}


def _decode_path(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise msgspec.ValidationError(f"Expected `path`, got `{type(value).__name__}`")


def _explain_value(
    error: msgspec.ValidationError, values: Mapping[str, Any], source: Path, lines: Mapping[str, int]
) -> ConfigError:
    problem, _, place = str(error).partition(" - at `$.")
    path = re.sub(r"\[.*", "", place.rstrip("`"))
    names = [key for key in values if compat.modern_name(training_name(key)) == path.partition(".")[2]] or [path]
    path = path if path in values else names[0]
    missing = "" if path not in values else f" is {values[path]!r:.200}"
    advice = problem.replace("Expected", "expected").replace("Object missing required field", "lacks the key")
    return ConfigError(source, f"`{path}`{missing}: {advice}; correct the value of `{path}`", line=lines.get(path))
