from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from preflight_ocr.fixtures.pages import render_pages
from preflight_ocr.harness.config.config import load_config
from preflight_ocr.harness.config.schema import Config
from tests.support.places import MODELS

MODEL = MODELS / "deepseek_ocr"


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`train` and `val` data directories of rendered words."""
    directory = tmp_path_factory.mktemp("pages")
    render_pages(directory / "train", count=16, seed=1, kind="words")
    render_pages(directory / "val", count=4, seed=2, kind="words")
    return directory


@pytest.fixture
def configure(tmp_path: Path, pages: Path) -> Callable[..., Config]:
    """Write and load a configuration of the miniature; the arguments are laid over its sections."""

    def configure(**sections: dict[str, Any]) -> Config:
        document: dict[str, dict[str, Any]] = {
            "model": {
                "base_model": str(MODEL),
                "torch_dtype": "float32",
                "attn_implementation": "eager",
                "trust_remote_code": True,
            },
            "lora": {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"]},
            "training": {
                "output_dir": str(tmp_path / "out"),
                "per_device_train_batch_size": 4,
                "max_steps": 4,
                "save_steps": 2,
                "logging_steps": 1,
                "learning_rate": 1e-3,
                "disable_tqdm": True,
            },
            "data": {
                "train_path": str(pages / "train"),
                "val_path": str(pages / "val"),
                "preprocessing": {"base_size": 128, "crop_mode": False},
            },
        }
        for name, section in sections.items():
            document.setdefault(name, {}).update(section)
        path = tmp_path / "config.yaml"
        path.write_text(json.dumps(document), encoding="utf-8")
        return load_config(path)

    return configure
