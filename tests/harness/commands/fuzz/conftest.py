"""Benches of native miniatures in this process, healthy ones and such whose collator was spoiled."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from preflight_ocr.fixtures.corpus.models import find_miniature, find_model_obstacle
from preflight_ocr.fixtures.corpus.plant import write_project
from preflight_ocr.harness.commands.fuzz.bench import Bench
from preflight_ocr.harness.training.collate import Collator
from preflight_ocr.probes.workbench.assembly import Assembly

SHORT = 256  # decoders of their own have few positions, and a project may not ask for more


@pytest.fixture(scope="session")
def open_parts(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Assembly]:
    """The healthy project of a miniature, put together once."""
    known: dict[str, Assembly] = {}

    def open_parts(name: str) -> Assembly:
        if obstacle := find_model_obstacle(name):
            pytest.skip(obstacle)
        if name not in known:
            folder = tmp_path_factory.mktemp(name)
            path = write_project(folder, [], model=name)
            if find_miniature(name).family.encoder_decoder:
                document = yaml.safe_load(path.read_text(encoding="utf-8"))
                document["data"]["max_seq_length"] = SHORT
                path.write_text(yaml.safe_dump(document), encoding="utf-8")
            known[name] = Assembly(path, trust=True, folder=folder)
        return known[name]

    return open_parts


@pytest.fixture
def open_bench(open_parts: Callable[[str], Assembly], tmp_path: Path) -> Callable[[str], Bench]:
    """A bench of the healthy project."""
    return lambda name: Bench(open_parts(name), tmp_path / "pages")


@pytest.fixture
def spoil(open_parts: Callable[[str], Assembly], tmp_path: Path) -> Callable[..., Bench]:
    """A bench whose batches go through `change(batch, rows)`: as our own collator, or as somebody else's."""

    def spoil(change: Callable[[dict[str, Any], Any], Any], *, own: bool = False, name: str = "qwen2_vl") -> Bench:
        healthy = open_parts(name)
        inner, parts = healthy.collate, copy.copy(healthy)
        if own:
            changed: Any = copy.copy(inner)
            changed.__class__ = type("Spoiled", (Collator,), {"__call__": lambda self, rows: change(inner, rows)})
        else:

            def changed(rows: Any) -> Any:
                return change(inner, rows)

        parts.__dict__["collate"] = changed
        return Bench(parts, tmp_path / "pages")

    return spoil
