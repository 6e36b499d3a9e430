from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers

from preflight_ocr.fixtures.corpus.models import MODELS, Miniature, find_miniatures, find_model_obstacle, place_model
from preflight_ocr.fixtures.corpus.plant import describe_healthy
from preflight_ocr.harness.commands.window.releases import open_index
from preflight_ocr.harness.config.config import build_config
from preflight_ocr.harness.families import FAMILIES, Opening
from preflight_ocr.harness.training.model import load_processor
from preflight_ocr.reports import models
from preflight_ocr.reports.models import ModelRow, find_obstacles, read_models

ROWS = {row.name: row for row in read_models()}
MINIATURES = [pytest.param(miniature, id=miniature.name) for miniature in find_miniatures()]


def find_row(miniature: Miniature) -> ModelRow:
    return ROWS[miniature.family.name]


def test_every_declared_family_has_its_row():
    assert list(ROWS) == list(FAMILIES)


@pytest.mark.parametrize("miniature", MINIATURES)
def test_a_row_says_what_the_loaded_processor_and_the_opened_family_say(miniature, tmp_path):
    if obstacle := find_model_obstacle(miniature.name):
        pytest.skip(obstacle)
    directory, row = place_model(miniature.name), find_row(miniature)
    config = build_config(describe_healthy(tmp_path, directory, miniature), source=tmp_path)
    loaded = load_processor(config)
    intake = miniature.family.open_intake(
        Opening(
            directory=directory,
            preprocessing=config.data.preprocessing,
            tokenizer=loaded.tokenizer,
            processor=loaded.processor,
            prompt=None,
            image_dtype=torch.float32,
        )
    )
    assert row.image_token == intake.image_token
    assert row.processor == (type(loaded.processor).__name__ if loaded.kind == "processor" else None)


@pytest.mark.parametrize("miniature", MINIATURES)
def test_reading_finds_the_obstacle_that_importing_finds(miniature):
    assert find_obstacles()[miniature.family.name] == find_model_obstacle(miniature.name)


@pytest.mark.parametrize("miniature", MINIATURES)
def test_the_installed_release_is_in_the_window_where_it_has_the_classes(miniature):
    row, indexed = find_row(miniature), open_index("transformers").versions
    if transformers.__version__ not in indexed:
        pytest.skip(f"transformers {transformers.__version__} is not in the index")
    inside: list[str] = []
    for part in row.releases.split(", "):
        first, _, last = part.partition(" to ")
        inside += indexed[indexed.index(first) : indexed.index(last or first) + 1]
    lacking = find_model_obstacle(miniature.name) or ""
    assert (transformers.__version__ in inside) == (" has no " not in lacking)


def test_a_processor_is_named_only_where_its_code_is(tmp_path: Path):
    (tmp_path / "code.py").write_text("class MyProcessor:\n    pass\n", encoding="utf-8")
    assert models._find_processor(tmp_path, [{}, {"processor_class": "MyProcessor"}]) == "MyProcessor"
    assert models._find_processor(tmp_path, [{"processor_class": "MyProcessorThatNobodyWrote"}]) is None


def test_an_image_token_is_found_by_its_number_where_no_file_spells_it():
    config = models.read_object(MODELS / "dots_ocr" / "config.json")
    assert isinstance(config, dict) and "image_token" not in config
    assert models._find_image_token(MODELS / "dots_ocr", [config]) == "<|imgpad|>"
