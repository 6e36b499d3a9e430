"""Small planted things: packages to resolve imports against, model folders, configurations."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from preflight_ocr.fixtures.corpus.plant import write_project
from preflight_ocr.harness.config.config import build_config
from preflight_ocr.harness.config.schema import Config
from preflight_ocr.probes.reading.exports import Exports
from preflight_ocr.probes.workbench.assembly import Assembly


@pytest.fixture
def plant(tmp_path: Path) -> Callable[[Mapping[str, Any]], Path]:
    """Write files below tmp_path: text is dedented, bytes go as they are, everything else becomes JSON."""

    def write(files: Mapping[str, Any]) -> Path:
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                path.write_bytes(content)
            else:
                text = dedent(content) if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
                path.write_text(text, encoding="utf-8")
        return tmp_path

    return write


@pytest.fixture
def exports(tmp_path: Path) -> Exports:
    """What is installed in tmp_path/site, and nothing else."""
    return Exports(search_path=[str(tmp_path / "site")])


@pytest.fixture
def configure(tmp_path: Path) -> Callable[..., Config]:
    """A Config as if `config.yaml` stood in tmp_path; `base_model` defaults to the folder tmp_path/model."""

    def build(document: Mapping[str, Any] | None = None) -> Config:
        (tmp_path / "model").mkdir(exist_ok=True)
        complete = {"model": {"base_model": str(tmp_path / "model")}, **(document or {})}
        return build_config(complete, source=tmp_path / "config.yaml")

    return build


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The YAML file of a healthy project on the miniature; nobody may write into it."""
    return write_project(tmp_path_factory.mktemp("project"), [])


@pytest.fixture(scope="session")
def assemble(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Assembly]:
    """A new Assembly of the healthy project, in this process, for a test that changes its parts."""
    return lambda: Assembly(project, trust=True, folder=tmp_path_factory.mktemp("assembly"))


@pytest.fixture(scope="session")
def healthy(assemble: Callable[[], Assembly]) -> Assembly:
    """One Assembly for all tests that only look."""
    return assemble()
