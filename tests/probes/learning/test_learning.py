from __future__ import annotations

import functools
import shutil

import msgspec
import pytest
import torch
from safetensors.torch import load_file, save_file

from preflight_ocr.harness.facts import Raised, Unknown
from preflight_ocr.harness.training.redirects import redirect_cuda
from preflight_ocr.harness.training.subject import load_part
from preflight_ocr.probes.learning import learning as learning_module
from preflight_ocr.probes.learning.learning import STEPS, look_at_learning, reload
from preflight_ocr.probes.workbench import assembly as assembly_module


def learn(parts, folder):
    with redirect_cuda():
        return look_at_learning(parts, folder)


def by_part(learning, *, checkpointing):
    return {row.part: row for row in learning.census if row.checkpointing is checkpointing}


@pytest.fixture(scope="module")
def learned(assemble, tmp_path_factory):
    folder = tmp_path_factory.mktemp("learned")
    return learn(assemble(), folder) | {"folder": folder}


def test_every_adapter_of_the_healthy_project_has_a_gradient_and_moves(learned):
    rows = by_part(learned["learning"], checkpointing=False)
    assert rows.keys() == {"attention", "mlp", "experts"}
    for row in rows.values():
        assert row.with_gradient + row.unreached == row.adapters > 0
        assert row.moved >= row.with_gradient


def test_checkpointing_starves_nothing(learned):
    off, on = (by_part(learned["learning"], checkpointing=flag) for flag in (False, True))
    assert {p: r.with_gradient for p, r in off.items()} == {p: r.with_gradient for p, r in on.items()}
    assert learned["learning"].checkpointing == "ok"


def test_the_loss_of_a_repeated_batch_falls(learned):
    losses = learned["learning"].losses
    assert len(losses) == STEPS
    assert losses[-1] < 0.9 * losses[0]


def test_the_saved_adapter_gives_the_same_logits_where_somebody_else_loads_it(learned, project):
    found = reload(str(project), True, str(learned["folder"]))
    assert found["same_logits"] and found["differs_from_base"]
    assert not found["missing_keys"] and not found["unexpected_keys"]


def test_a_saved_adapter_that_was_spoiled_is_told(learned, project, tmp_path):
    shutil.copytree(learned["folder"], tmp_path / "spoiled", ignore=shutil.ignore_patterns("modules"))
    file = tmp_path / "spoiled" / "adapter" / "adapter_model.safetensors"
    weights = load_file(file)
    lost = next(name for name in weights if "lora_B" in name)
    save_file({name: value for name, value in weights.items() if name != lost}, file)
    found = reload(str(project), True, str(tmp_path / "spoiled"))
    assert list(found["missing_keys"]) == [lost]
    assert found["same_logits"] is False


def test_merging_changes_nothing(learned):
    assert learned["learning"].merged_equals_unmerged is True


def with_lora(parts, **changed):
    parts.config = msgspec.structs.replace(parts.config, lora=msgspec.structs.replace(parts.config.lora, **changed))
    return parts


def test_adapters_under_no_grad_are_counted_without_a_gradient(assemble, tmp_path):
    parts = with_lora(assemble(), target_modules=["q_proj", "qkv_proj"])
    rows = by_part(learn(parts, tmp_path)["learning"], checkpointing=False)
    assert rows["vision"].adapters > 0
    assert (rows["vision"].with_gradient, rows["vision"].moved, rows["vision"].unreached) == (0, 0, 0)
    assert rows["attention"].with_gradient == rows["attention"].adapters


def test_the_decoder_block_at_which_the_gradient_ends_is_named(learned, assemble, tmp_path):
    assert learned["learning"].severed == ()
    parts = assemble()
    first = parts.bare.get_submodule(f"{parts.anatomy.layers}.0")
    first.register_forward_hook(lambda module, given, made: (made[0].detach(), *made[1:]))
    assert learn(parts, tmp_path)["learning"].severed == (f"{parts.anatomy.layers}.0",)


def test_an_adapter_on_what_the_vision_part_holds_and_never_calls_is_unreached(assemble, tmp_path):
    parts = assemble()
    vision = next(module for name, module in parts.bare.named_modules() if parts.anatomy.part_of(name) == "vision")
    vision.spare = torch.nn.Linear(4, 4)
    parts = with_lora(parts, target_modules=["q_proj", "qkv_proj", "spare"])
    rows = by_part(learn(parts, tmp_path)["learning"], checkpointing=False)
    assert (rows["vision"].unreached, rows["vision"].with_gradient) == (1, 0)
    assert rows["vision"].adapters > 1


def find_mixture(model):
    return next((name, module) for name, module in model.named_modules() if hasattr(module, "experts"))


def test_an_expert_that_no_token_reached_is_no_fault(assemble, tmp_path):
    """Of two opposite rows of the router one gives every token a score above zero, and that is what expert 0 gets."""
    parts = with_lora(assemble(), target_modules=["gate_proj"])
    _, mixture = find_mixture(parts.bare)
    with torch.no_grad():
        router = mixture.gate.weight
        router[0] = 0
        router[2:7:2] = -router[1:6:2]
    rows = by_part(learn(parts, tmp_path)["learning"], checkpointing=False)
    assert rows["experts"].unreached > 0
    assert rows["experts"].with_gradient + rows["experts"].unreached == rows["experts"].adapters


def test_an_expert_that_tokens_reach_without_a_gradient_is_not_excused(assemble, tmp_path):
    parts = with_lora(assemble(), target_modules=["gate_proj"])
    for expert in find_mixture(parts.bare)[1].experts:
        expert.forward = torch.no_grad()(expert.forward)
    rows = by_part(learn(parts, tmp_path)["learning"], checkpointing=False)
    assert rows["experts"].with_gradient + rows["experts"].unreached < rows["experts"].adapters


def change_forward(parts, change):
    """Let `change` have every output of the model."""
    original = type(parts.bare)

    class Changed(original):
        @functools.wraps(original.forward)
        def forward(self, *args, **batch):
            output = original.forward(self, *args, **batch)
            return {"loss": change(output.loss), "logits": output.logits}

    parts.bare.__class__ = Changed
    return parts


def test_a_loss_that_is_not_a_number_is_a_failed_step(assemble, tmp_path):
    parts = change_forward(assemble(), lambda loss: loss * float("nan"))
    learning = learn(parts, tmp_path)["learning"]
    assert isinstance(learning.training, Raised) and "nan" in learning.training.message
    assert isinstance(learning.losses, Unknown)


def test_a_model_that_gives_no_loss_says_so(assemble, tmp_path):
    learning = learn(change_forward(assemble(), lambda loss: None), tmp_path)["learning"]
    assert isinstance(learning.training, Raised) and "no loss" in learning.training.message


def test_an_adapter_step_that_raises_leaves_its_reason(assemble, tmp_path):
    parts = with_lora(assemble(), target_modules=["q_prj"])
    assert "q_prj" in learn(parts, tmp_path)["adapter"].raised.message


def test_only_a_user_s_trainer_is_measured(learned, healthy):
    assert load_part(healthy.config, "trainer") is None
    assert "no subject.trainer" in learned["learning"].accumulation_ratio.reason


def test_of_rows_as_long_as_a_page_the_first_words_are_learnt(assemble, monkeypatch):
    parts = assemble()
    monkeypatch.setattr(assembly_module, "LONG", 400)
    monkeypatch.setattr(parts, "sample", tuple({**row, "text": "so it goes " * 200} for row in parts.sample))
    batch = learning_module._choose_batch(parts)
    assert len(batch["input_ids"]) == len(parts.sample) > 1
    assert batch["input_ids"].shape[1] < assembly_module.LONG < parts.reference(parts.sample)["input_ids"].shape[1]


def test_of_rows_as_long_as_a_page_one_is_learnt_and_nothing_else_is_left_out(assemble, project, tmp_path, monkeypatch):
    seen = []
    choose = learning_module._choose_batch
    monkeypatch.setattr(assembly_module, "LONG", 8)
    monkeypatch.setattr(learning_module, "_choose_batch", lambda parts: seen.append(choose(parts)) or seen[-1])
    found = learn(assemble(), tmp_path)["learning"]
    assert [len(batch["input_ids"]) for batch in seen] == [1]
    assert found.training == "ok" and found.losses[-1] < found.losses[0]
    asked = ("checkpointing", "recital", "recipe", "growth", "alike_rows", "merged_equals_unmerged")
    assert not [name for name in asked if isinstance(getattr(found, name), Unknown)]
    again = reload(str(project), True, str(tmp_path))
    assert again["same_logits"] and [len(batch["input_ids"]) for batch in seen] == [1, 1]
