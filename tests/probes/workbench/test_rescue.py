"""One defect must not hide the others: a model that does not load or run as configured is looked at in another way."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from preflight_ocr.fixtures.corpus.plant import write_project
from preflight_ocr.harness.check.asked import Asked
from preflight_ocr.harness.check.check import look
from preflight_ocr.harness.check.children import CHILDREN, Known
from preflight_ocr.harness.config.config import load_config
from preflight_ocr.harness.facts import Forward, Raised, Unknown
from preflight_ocr.probes.workbench.assembly import limit_ids
from preflight_ocr.probes.workbench.rescue import make_stand_in
from tests.specimens import HEALTHY

NO_OTHER_CHILD = Known(facts=HEALTHY, children=tuple(child.name for child in CHILDREN if child.name != "forward"))


def look_at_forward(directory, sandbox, *faults, change=lambda directory: None) -> Forward | Unknown:
    path = write_project(directory, faults)
    change(directory)
    return look(load_config(path), Asked(trust=True), sandbox=sandbox, known=NO_OTHER_CHILD).facts.forward


@pytest.mark.parametrize("fault", ["web-17", "web-18", "web-34"])
def test_a_model_that_does_not_load_is_rescued_and_the_exception_is_kept(fault, tmp_path, sandbox):
    seen = look_at_forward(tmp_path, sandbox, fault)
    assert seen.loading is not None
    assert seen.loading.type in ("ImportError", "ValueError", "ModuleNotFoundError")
    assert seen.given == "ok"


def test_the_exception_is_all_there_is_where_no_rescue_helps(tmp_path, sandbox):
    def break_code(directory):
        code = directory / "model" / "modeling_deepseekv2.py"
        code.write_text("raise RuntimeError('this file is broken')\n", encoding="utf-8")

    seen = look_at_forward(tmp_path, sandbox, "web-22", change=break_code)
    assert seen.loading.message == "this file is broken"
    assert isinstance(seen.given, Unknown)


@pytest.mark.parametrize("fault", ["web-27", "web-30"])
def test_a_model_that_does_not_run_is_made_to_and_the_exception_is_kept(fault, tmp_path, sandbox):
    seen = look_at_forward(tmp_path, sandbox, fault)
    assert isinstance(seen.given, Raised)
    assert not isinstance(seen.landing, Unknown)
    assert not isinstance(seen.behaviour, Unknown)


def test_a_stand_in_can_be_derived_from_and_not_made():
    stand_in = make_stand_in("LlamaFlashAttention2")
    assert issubclass(type("Mine", (stand_in,), {}), nn.Module)
    with pytest.raises(ImportError, match="LlamaFlashAttention2 is not there"):
        stand_in()


def test_a_stand_in_for_a_question_answers_no():
    assert not make_stand_in("is_torch_fx_available")()


def test_ids_without_an_embedding_become_the_last_one_and_masked_labels_stay_masked():
    batch = limit_ids({"input_ids": torch.tensor([[1, 9]]), "labels": torch.tensor([[-100, 9]]), "n": 3}, 5)
    assert batch["input_ids"].tolist() == [[1, 4]]
    assert batch["labels"].tolist() == [[-100, 4]]
    assert batch["n"] == 3
