"""No fact is healthy by default: what a probe does not fill is Unknown, or the fact cannot be made at all."""

from __future__ import annotations

import importlib
import pkgutil

import msgspec
import pytest

from preflight_ocr.harness import facts as package
from preflight_ocr.harness.facts import Fact, Facts, Unknown

NO_FACTS = ("history", "illustrations")  # what a page draws: no diagnosis can need it, no digest covers it


def _list_facts() -> list[type[Fact]]:
    for module in pkgutil.iter_modules(package.__path__):
        if module.name not in NO_FACTS:
            importlib.import_module(f"{package.__name__}.{module.name}")
    found: list[type[Fact]] = []
    waiting = [Fact]
    while waiting:
        kind = waiting.pop()
        found.append(kind)
        waiting += kind.__subclasses__()
    return sorted((kind for kind in found if kind.__module__.startswith(package.__name__)), key=lambda k: k.__name__)


EVERY = _list_facts()


@pytest.mark.parametrize("kind", [kind for kind in EVERY if kind is not Unknown], ids=lambda kind: kind.__name__)
def test_no_field_of_a_fact_has_a_default_but_unknown(kind: type[Fact]) -> None:
    defaults = {field.name: field.default for field in msgspec.structs.fields(kind) if not field.required}
    assert [name for name, value in defaults.items() if not isinstance(value, Unknown)] == []


def test_the_walk_reaches_every_section_and_what_they_hold() -> None:
    names = {kind.__name__ for kind in EVERY}
    assert {"Configuration", "Repository", "Collator", "Forward", "Learning", "Accelerator", "Row", "Origin"} <= names
    assert len(EVERY) > 50


def test_facts_that_nobody_filled_are_unknown_in_every_section() -> None:
    facts = Facts()
    assert all(isinstance(getattr(facts, name), Unknown) for name in facts.__struct_fields__)
