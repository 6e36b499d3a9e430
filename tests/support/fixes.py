"""Applying a printed fix mechanically to a planted project, as somebody does who copies what is printed."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml

from preflight_ocr.harness.config.schema import Config
from preflight_ocr.harness.judging.findings import Finding

SECTIONS = {field.name for field in msgspec.structs.fields(Config)}
ENTRIES = {"labels", "input_ids", "attention_mask", "images", "pixel_values", "position_ids"}
IN_BATCH = {"batch", *ENTRIES, "tokenizer", "model", "torch"}
AT_LOADING = {"model", "tokenizer", "processor", "torch"}
MENDED = '''"""What is printed, put behind the user's own parts."""

from types import SimpleNamespace

import torch

import planted

SNIPPETS = {snippets!r}


class Mended:
    def __init__(self, inner, tokenizer, model):
        self.inner, self.tokenizer, self.model = inner, tokenizer, model

    def __call__(self, rows):
        batch = self.inner(rows)
        for snippet in SNIPPETS:
            names = {{**batch, "batch": batch, "tokenizer": self.tokenizer, "model": self.model, "torch": torch}}
            before = dict(batch)
            exec(snippet, names)
            changed = {{key: names[key] for key, value in before.items() if names[key] is not value}}
            batch = {{**names["batch"], **changed}}
        return batch


def collator(config, processor, model):
    tokenizer = getattr(processor, "tokenizer", processor)
    known = SimpleNamespace(dtype=model.dtype)
    if any("model.config" in snippet for snippet in SNIPPETS):
        known.config = model.config
    return Mended(planted.collator(config, processor, model), tokenizer, known)
'''
LOADED = '''"""What is printed, put behind the user's own loader."""

import torch

SNIPPETS = {snippets!r}


def model(config):
    from preflight_ocr.harness.training.model import load_model, load_processor

    {load}
    processor = load_processor(config).processor
    tokenizer = getattr(processor, "tokenizer", processor)
    names = {{"model": model, "processor": processor, "tokenizer": tokenizer, "torch": torch}}
    for snippet in SNIPPETS:
        exec(snippet, names)
    return names["model"]
'''


def apply_fixes(project: Path, findings: tuple[Finding, ...]) -> tuple[str, ...]:
    """Apply those of the findings' snippets that say by themselves where they belong; the names of those findings."""
    document = yaml.safe_load(project.read_text(encoding="utf-8"))
    subject = document.get("subject", {})
    applied: list[str] = []
    in_batch: list[str] = []
    at_loading: list[str] = []
    for finding in findings:
        snippet = finding.fix.snippet
        if (changes := read_yaml(snippet)) is not None:
            merge(document, changes)
        elif subject.get("collator") == "planted:collator" and "batch" in find_room(snippet):
            in_batch.append(snippet)
        elif subject.get("model", "planted:model") == "planted:model" and "model" in find_room(snippet):
            at_loading.append(snippet)
        else:
            continue
        applied.append(finding.name)
    if in_batch:
        (project.parent / "mended.py").write_text(MENDED.format(snippets=in_batch), encoding="utf-8")
        document["subject"]["collator"] = "mended:collator"
    if at_loading:
        load = (
            "import planted\n\n    model = planted.model(config)"
            if "model" in subject
            else (
                "import msgspec\n\n    plain = msgspec.structs.replace(config.subject, model=None)\n"
                "    model = load_model(msgspec.structs.replace(config, subject=plain))"
            )
        )
        (project.parent / "loaded.py").write_text(LOADED.format(snippets=at_loading, load=load), encoding="utf-8")
        document.setdefault("subject", {})["model"] = "loaded:model"
    project.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return tuple(applied)


def read_yaml(snippet: str) -> dict[str, Any] | None:
    """The snippet as a piece of our YAML; None where it is none, or where a value has to be filled in by hand."""
    try:
        found = yaml.safe_load(snippet)
    except yaml.YAMLError:
        return None
    is_ours = (
        isinstance(found, dict)
        and found
        and set(found) <= SECTIONS
        and all(isinstance(v, dict) for v in found.values())
    )
    return None if not is_ours or "THE_" in snippet else found


def find_room(snippet: str) -> frozenset[str]:
    """Where Python can be put as it is: behind the collator, behind the loader. Empty where a name is left open."""
    try:
        tree = ast.parse(snippet)
    except SyntaxError:
        return frozenset()
    asked, made = set[str](), set(dir(builtins))
    for statement in tree.body:
        names = [node for node in ast.walk(statement) if isinstance(node, ast.Name)]
        inside = [node for node in ast.walk(statement) if isinstance(node, ast.comprehension | ast.For)]
        own = {name.id for node in inside for name in ast.walk(node.target) if isinstance(name, ast.Name)}
        asked |= {name.id for name in names if isinstance(name.ctx, ast.Load)} - made - own
        made |= {name.id for name in names if isinstance(name.ctx, ast.Store)}
    has_gap = any(isinstance(node, ast.Constant) and node.value is ... for node in ast.walk(tree))
    is_change = any(isinstance(node, ast.Assign | ast.Expr | ast.Delete | ast.AugAssign) for node in ast.walk(tree))
    if (
        "in place of" in snippet
        or not tree.body
        or has_gap
        or not is_change
        or any(isinstance(node, ast.Return) for node in ast.walk(tree))
    ):
        return frozenset()
    if asked & {"batch", *ENTRIES} and asked <= IN_BATCH:
        return frozenset({"batch"})
    # What is trained is known behind the adapter alone, and a tokenizer is opened anew wherever it is needed.
    is_elsewhere = "requires_grad" in snippet or "add_tokens" in snippet
    if asked and asked <= AT_LOADING and "model" in asked and not is_elsewhere:
        return frozenset({"model"})
    return frozenset()


def merge(document: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """The changes written over the document, section by section."""
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(document.get(key), dict):
            merge(document[key], value)
        else:
            document[key] = value
