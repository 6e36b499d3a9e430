"""The JSON schema of the YAML file, for editors and for pre-commit: from the same structs that the loader fills."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from preflight_ocr.harness.config import compat
from preflight_ocr.harness.config.keys import ALIASES, EFFECTS, INERT, OPEN_SECTIONS, SECTIONS
from preflight_ocr.harness.config.schema import TrainingSection

__all__ = ["build_schema"]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_GIVEN_OTHERWISE = ("subject.path",)  # required of the struct; the loader fills it from the place of the file


def build_schema() -> dict[str, Any]:
    """Every section, its keys with their types, defaults and effects. A key that is not in it is CFG001 in a check."""
    sections = {name: _build_section(name, kind) for name, kind in SECTIONS.items() if "." not in name}
    sections |= {name: _build_open_section(name) for name in OPEN_SECTIONS}
    return {
        "$schema": DIALECT,
        "title": "The YAML file of Preflight",
        "type": "object",
        "properties": {n: section if n == "model" else _allow_null(section) for n, section in sections.items()},
        "required": ["model"],
        "additionalProperties": False,
    }


def _build_section(name: str, section_kind: type[msgspec.Struct]) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for field in msgspec.structs.fields(section_kind):
        path = f"{name}.{field.name}"
        if path in SECTIONS:
            properties[field.name] = _allow_null(_build_section(path, SECTIONS[path]))
        else:
            kind = _type(field) if field.required else _allow_null(_type(field))
            properties[field.name] = kind | _find_default(field) | _tell(path)
    for old, new in ALIASES.items():
        if old.rpartition(".")[0] == name:
            properties[old.rpartition(".")[2]] = properties[new.rpartition(".")[2]]
    required = [
        field.name
        for field in msgspec.structs.fields(section_kind)
        if field.required and f"{name}.{field.name}" not in _GIVEN_OTHERWISE
    ]
    section = {"type": "object", "properties": properties, "additionalProperties": False}
    return section | ({"required": required} if required else {})


def _build_open_section(name: str) -> dict[str, Any]:
    """Any field of TrainingArguments, under its old or its new name; typed where we interpret it."""
    known = {field.name: _type(field) for field in msgspec.structs.fields(TrainingSection)}
    properties: dict[str, Any] = {}
    for key in sorted(compat.training_argument_names()):
        typed = known.get(compat.modern_name(key))
        properties[key] = {} if typed is None else _allow_null(typed)
    for path in EFFECTS:
        section, _, key = path.partition(".")
        if section == name:
            properties[key] = _tell(path)
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _type(field: msgspec.structs.FieldInfo) -> dict[str, Any]:
    return msgspec.json.schema(field.type, schema_hook=_describe_path)


def _find_default(field: msgspec.structs.FieldInfo) -> dict[str, Any]:
    value = field.default
    if value is msgspec.NODEFAULT or value is None or isinstance(value, msgspec.Struct):
        return {}
    return {"default": str(value) if isinstance(value, Path) else msgspec.to_builtins(value)}


def _tell(path: str) -> dict[str, Any]:
    if path in INERT:
        return {"description": f"changes nothing: {INERT[path]}", "deprecated": True}
    return {"description": EFFECTS[path]} if path in EFFECTS else {}


def _allow_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A key with nothing behind it leaves the default in place."""
    if not schema or {"type": "null"} in schema.get("anyOf", ()):
        return schema
    return {"anyOf": [schema, {"type": "null"}]}


def _describe_path(kind: type) -> dict[str, Any]:
    if kind is Path:
        return {"type": "string"}
    raise NotImplementedError
