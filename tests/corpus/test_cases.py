"""Which fault is planted in which model, and whether the models are what that rests on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from torch import nn

from preflight_ocr.fixtures.corpus import ANY, faults, find_faults, find_patterns, foreign
from preflight_ocr.fixtures.corpus.cases import FIRST, find_cases, find_unsuited
from preflight_ocr.fixtures.corpus.faults import mixed_model_dtypes as web_30
from preflight_ocr.fixtures.corpus.models import casts_pixels, find_miniatures, find_model_obstacle
from preflight_ocr.fixtures.corpus.plant import write_project
from preflight_ocr.fixtures.corpus.rows import change_pixels
from preflight_ocr.harness.config.config import load_config
from preflight_ocr.harness.diagnoses import find
from preflight_ocr.harness.training.data import Rows
from preflight_ocr.harness.training.model import load_model, load_processor
from preflight_ocr.harness.training.redirects import redirect_cuda
from preflight_ocr.harness.training.train import build_own_collator

MODELS = {model.name: model for model in find_miniatures()}


def test_a_fault_for_any_model_is_planted_in_it_or_says_why_not():
    placed = [(case.fault, case.model) for case in find_cases()]
    left_out = {(fault, model): reason for fault, model, reason in find_unsuited()}
    for fault in find_faults():
        if fault.models == ANY:
            for model in MODELS:
                assert placed.count((fault.id, model)) + ((fault.id, model) in left_out) == 1
    assert all(left_out.values())


def test_every_model_has_faults_and_the_first_has_those_that_depend_on_none():
    cases = find_cases()
    assert {case.model for case in cases} == set(MODELS)
    alike = [fault.id for fault in find_faults() if fault.is_same_everywhere]
    assert alike and [case.fault for case in cases if case.fault in alike and case.model == FIRST] == alike


def test_what_is_expected_are_names_of_diagnoses():
    assert not [name for case in find_cases() for name in case.expects if find(name) is None]


def test_a_case_that_can_be_planted_expects_something():
    assert all(case.expects for case in find_cases() if case.obstacle is None)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_a_miniature_is_what_its_cases_rest_on(name, tmp_path):
    model = MODELS[name]
    if obstacle := find_model_obstacle(name):
        pytest.skip(obstacle)
    config = load_config(write_project(tmp_path, (), model=name))
    half = msgspec.structs.replace(config, model=msgspec.structs.replace(config.model, torch_dtype="bfloat16"))
    with redirect_cuda():
        loaded, processor = load_model(half).eval(), load_processor(half)
        collator = build_own_collator(half, loaded, processor)
        rows = Rows(config.data.train_path)
        batch = change_pixels(collator([rows[0], rows[1]]), collator, torch.Tensor.float)
        head = loaded.get_output_embeddings().weight
        assert any(m.weight is head for m in loaded.modules() if isinstance(m, nn.Embedding)) == model.is_tied
        assert (processor.tokenizer.padding_side == "right") == model.pads_right
        assert (collator.image_token_id is not None) == model.has_image_tokens
        assert loaded.supports_gradient_checkpointing == model.can_checkpoint
        assert runs(loaded, batch) == casts_pixels(model)
        assert runs(web_30.wrap(loaded, half), collator([rows[0], rows[1]])) == model.norms_keep_dtype


def runs(model: torch.nn.Module, batch: Mapping[str, Any]) -> bool:
    """Whether forward takes these dtypes together."""
    try:
        model(**batch)
    except RuntimeError as error:
        assert "type" in str(error)
        return False
    return True


def test_no_two_files_have_one_id():
    """The later one would take the earlier one's place, and that would never be planted again."""
    files = [path for room in (faults, foreign) for path in Path(room.__path__[0]).glob("[!_]*.py")]
    assert len(files) == len(find_faults()) + len(find_patterns())
