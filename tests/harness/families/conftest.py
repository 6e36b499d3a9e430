"""Collators of the miniatures, opened without their models, and pages to give them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image, ImageDraw
from transformers import AutoTokenizer

from preflight_ocr.fixtures.corpus.models import find_miniature, find_model_obstacle, place_model
from preflight_ocr.fixtures.corpus.plant import describe_healthy
from preflight_ocr.harness.config.config import build_config
from preflight_ocr.harness.training.collate import Collator, build_collator
from preflight_ocr.harness.training.model import load_processor


@pytest.fixture(scope="session")
def open_collator(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Collator]:
    """The collator of a miniature as its healthy project has it; keywords are laid over the section `data`."""
    folder = tmp_path_factory.mktemp("families")

    def open_collator(name: str, *, dtype: torch.dtype = torch.float32, **data: Any) -> Collator:
        if obstacle := find_model_obstacle(name):
            pytest.skip(obstacle)
        model = find_miniature(name)
        document = describe_healthy(folder, place_model(name), model)
        document["data"] |= data
        config = build_config(document, source=folder / "project.yaml")
        if not model.is_native:  # these families need no more than a tokenizer, and no code of the model's
            tokenizer = AutoTokenizer.from_pretrained(place_model(name))
            return build_collator(config, family=model.family, tokenizer=tokenizer, image_dtype=dtype)
        loaded = load_processor(config)
        return build_collator(
            config, family=model.family, tokenizer=loaded.tokenizer, processor=loaded.processor, image_dtype=dtype
        )

    return open_collator


@pytest.fixture(scope="session")
def paint(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """The path of a page with something on it, the same page for the same size."""
    folder = tmp_path_factory.mktemp("pages")

    def paint(width: int, height: int) -> str:
        path: Path = folder / f"{width}x{height}.png"
        if not path.exists():
            page = Image.new("RGB", (width, height), (250, 240, 220))
            pen = ImageDraw.Draw(page)
            for step in range(0, max(width, height), 7):
                pen.line((step, 0, width - step // 2, height), fill=(step % 200, 30, 90), width=2)
            page.save(path)
        return str(path)

    return paint
