from __future__ import annotations

import json

import pytest

from preflight_ocr.harness.commands import demo
from preflight_ocr.harness.config.config import load_config
from preflight_ocr.harness.config.keys import inert_keys


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("it's a folder") / "out"
    return load_config(demo.prepare(folder))


def test_every_key_of_the_demo_configuration_is_known_and_has_an_effect(prepared):
    assert prepared.unknown_keys == ()
    assert inert_keys(prepared) == ()


def test_the_demo_has_a_model_and_rows_of_two_scripts(prepared):
    assert (prepared.model.directory / "config.json").is_file()
    rows = json.loads((prepared.data.train_path / "metadata.json").read_text(encoding="utf-8"))
    assert all((prepared.data.train_path / row["image_path"]).is_file() for row in rows)
    assert {row["text"].isascii() for row in rows} == {True, False}
    assert prepared.data.val_path.is_dir()
