"""What a planted project need not compute again, because the healthy project of the same model has computed just that.

A check looks through children that read different things. Where everything that a child reads is the same as in the healthy
project, so is what it sees:

* the processor's child reads the `model` section and the model directory;
* the children of the collator and of forward read no adapter and no training: neither `lora`, `training` and their like nor
  the user's adapter step; where there is a trainer of the user's they build it, with its adapter, to see whether it brings a
  collator or rows of its own, and then read everything;
* the learning child, and with it the one that loads the saved adapter again, takes its batches from our own collator where a
  family is declared, and then never calls the user's.

`tests/corpus/test_reuse.py` proves each of these by taking away what a child is said not to read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml

from preflight_ocr.fixtures.corpus import load
from preflight_ocr.fixtures.corpus.plant import PARTS
from preflight_ocr.harness.check.children import CHILDREN, Known
from preflight_ocr.harness.check.recall import TRAINING, UNREAD_SECTIONS
from preflight_ocr.harness.facts import Collator, Facts, Unknown

UNREAD_PARTS: Mapping[str, tuple[str, ...]] = {
    "processor": ("model", "collator", "peft", "trainer"),
    "collator": ("peft", "trainer"),
    "forward": ("peft", "trainer"),
    "learning": (),
}


__all__ = ["TRAINING", "UNREAD_PARTS", "UNREAD_SECTIONS", "Inputs", "choose_known", "list_same", "read_inputs"]


class Inputs(msgspec.Struct, frozen=True, kw_only=True):
    """What a project hands to the children of its check: its YAML, where it lies written as DIR and the model as MODEL; a
    digest of its data; and for each of the user's parts the faults that change it."""

    document: dict[str, Any]
    data: str
    parts: dict[str, tuple[str, ...]]


def read_inputs(project: Path, faults: Iterable[str], model_directory: Path) -> Inputs:
    """The inputs of the project in this YAML file. A model directory of the project's own is never the same as another."""
    text = project.read_text(encoding="utf-8")
    for place, name in ((str(model_directory), "MODEL"), (str(project.parent), "DIR")):
        text = text.replace(place, name)
    data = hashlib.sha256()
    for folder in ("train", "val"):
        for path in sorted(p for p in (project.parent / folder).rglob("*") if p.is_file()):
            data.update(f"{path.relative_to(project.parent)}\0".encode() + path.read_bytes())
    modules = [load(fault) for fault in faults]
    parts = {
        part: tuple(
            module.FAULT.id
            for module in modules
            if part in module.FAULT.subject or any(p == part and hasattr(module, hook) for hook, p in PARTS.items())
        )
        for part in dict.fromkeys(PARTS.values())
    }
    return Inputs(document=yaml.safe_load(text), data=data.hexdigest(), parts=parts)


def list_same(planted: Inputs, healthy: Inputs) -> tuple[str, ...]:
    """The children that read the same in both."""
    return tuple(
        child.name
        for child in CHILDREN
        if child.name in UNREAD_PARTS and _read_by(child.name, planted) == _read_by(child.name, healthy)
    )


def choose_known(planted: Inputs, healthy: Inputs, facts: Facts) -> Known | None:
    """What the healthy project's `facts` already tell about the planted one; None where nothing."""
    same = [child for child in list_same(planted, healthy) if child == "processor" or _is_known(getattr(facts, child))]
    if not isinstance(facts.collator, Collator) or isinstance(facts.collator.reference, Unknown):
        same = [child for child in same if child != "learning"]  # its batches came from the collator under test
    return Known(facts=facts, children=tuple(same)) if same else None


def _is_known(section: object) -> bool:
    """A child that ended early may get further the next time; only the processor's says by it what is not installed."""
    return not isinstance(section, Unknown)


def _read_by(child: str, inputs: Inputs) -> tuple[dict[str, Any], dict[str, tuple[str, ...]], str]:
    """The part of the inputs that a child reads."""
    builds_trainer = child != "processor" and "trainer" in inputs.document.get("subject", {})
    unread: tuple[str, ...] = () if builds_trainer else UNREAD_PARTS[child]
    sections: tuple[str, ...] = () if builds_trainer else UNREAD_SECTIONS[child]
    document = {key: value for key, value in inputs.document.items() if key not in sections}
    document["subject"] = {k: v for k, v in inputs.document.get("subject", {}).items() if k not in unread}
    parts = {part: ids for part, ids in inputs.parts.items() if part not in unread}
    return document, parts, "" if "data" in UNREAD_SECTIONS[child] else inputs.data
