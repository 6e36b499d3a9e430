from __future__ import annotations

from typing import Any

import yaml

from preflight_ocr.harness.commands.demo import _CONFIG
from preflight_ocr.harness.config import compat
from preflight_ocr.harness.config.json_schema import build_schema
from preflight_ocr.harness.config.keys import ALIASES, EFFECTS, INERT


def _find(path: str) -> dict[str, Any] | None:
    """What the schema says of a dotted key; None where it does not know it."""
    here: dict[str, Any] | None = build_schema()
    for step in path.split("."):
        here = next((part for part in (here, *here.get("anyOf", ())) if "properties" in part), {}) if here else {}
        here = here.get("properties", {}).get(step)
        if here is None:
            return None
    return here


def test_every_key_that_the_loader_knows_is_in_the_schema() -> None:
    training = [f"{section}.{n}" for section in ("training", "optimization") for n in compat.training_argument_names()]
    missing = [key for key in (*EFFECTS, *INERT, *ALIASES, *training) if _find(key) is None]
    assert missing == []


def test_a_key_that_nobody_reads_is_not() -> None:
    assert _find("lora.rank") is None
    assert build_schema()["additionalProperties"] is False
    assert build_schema()["properties"]["model"]["additionalProperties"] is False


def test_types_defaults_and_effects_are_those_of_the_structs() -> None:
    assert _find("lora.r") == {
        "anyOf": [{"type": "integer"}, {"type": "null"}],
        "default": 8,
        "description": "is the rank of the adapter",
    }
    assert _find("model.base_model")["type"] == "string"
    assert build_schema()["properties"]["model"]["required"] == ["base_model"]
    assert "required" not in _find("subject")["anyOf"][0]


def test_what_the_demonstration_writes_has_a_place_in_it() -> None:
    document = yaml.safe_load(_CONFIG.format(name="n", model="m", output="o", train="t", val="v"))
    keys = [f"{section}.{key}" for section, keys in document.items() for key in keys]
    assert keys and [key for key in keys if _find(key) is None] == []
