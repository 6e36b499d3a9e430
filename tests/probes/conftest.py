"""Small planted things: packages to resolve imports against, model folders, configurations."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from harness.config import Config, build_config
from probes.exports import Exports


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
