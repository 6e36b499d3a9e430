"""Adapters of miniatures, saved as a run saves them, with weights large enough to change what is read."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import torch
import yaml

from preflight_ocr.fixtures.corpus.models import find_model_obstacle
from preflight_ocr.fixtures.corpus.plant import write_project
from preflight_ocr.fixtures.pages import render_pages
from preflight_ocr.harness.config.config import load_config
from preflight_ocr.harness.training.train import load_parts, run_anywhere, save


class Trained(msgspec.Struct, frozen=True):
    """A configuration, the adapter folder of its run, and a folder with twelve pages of mixed sizes.

    `loaded` is what a command is told besides, where a loader of the user's loads the model: it is not taken from the
    adapter's folder.
    """

    config: Path
    adapter: Path
    pages: Path
    loaded: tuple[str, ...]


@pytest.fixture(scope="session")
def train(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Trained]:
    """The adapter of a model, made once a session."""

    @functools.cache
    def train(model: str) -> Trained:
        if obstacle := find_model_obstacle(model):
            pytest.skip(obstacle)
        folder = tmp_path_factory.mktemp(model)
        render_pages(folder / "pages", count=12, seed=3, kind="mixed")
        path = write_project(folder / "project", (), model=model)
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        document["training"] = {"output_dir": str(folder / "out"), "max_steps": 1}
        document["data"] |= {"train_path": str(folder / "pages"), "test_path": str(folder / "pages")}
        document["data"].pop("val_path", None)
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
        config, known = load_config(path), list(sys.path)
        torch.manual_seed(0)
        with run_anywhere():
            parts = load_parts(config)
            for name, parameter in parts.model.named_parameters():
                if "lora_B" in name:
                    torch.nn.init.normal_(parameter, std=1.0)
            save(config, parts, folder / "out" / "adapter")
        sys.path[:] = known
        sys.modules.pop("planted", None)
        loaded = ("--config", str(path)) if config.subject.model is not None else ()
        return Trained(path, folder / "out" / "adapter", folder / "pages", loaded)

    return train


@pytest.fixture
def trained(train) -> Trained:
    return train("deepseek_ocr")
