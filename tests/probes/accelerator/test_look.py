from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest
import torch
from torch.utils.data import get_worker_info

from preflight_ocr.harness.diagnoses import catalogue
from preflight_ocr.harness.facts import Accelerator, Device, Facts, Raised, Unknown
from preflight_ocr.harness.judging.findings import Basis, Broken, Crashed
from preflight_ocr.harness.training.redirects import redirect_cuda
from preflight_ocr.harness.verdict.contracts import derive, judge_all
from preflight_ocr.probes.accelerator import attention, look, look_at_accelerator
from preflight_ocr.probes.accelerator.look import (
    count_waits,
    read_expected,
    repeat,
    try_implementations,
    try_loader,
    write_text,
)
from preflight_ocr.probes.accelerator.moving import choose_part, place
from preflight_ocr.probes.accelerator.precision import RECIPES

FLOAT32 = RECIPES[0]
ON_A_CARD = tuple(module.DIAGNOSIS.name for module in catalogue() if module.DIAGNOSIS.basis is Basis.GPU)


def judge(accelerator):
    """The names of what the gpu contracts find in these facts alone."""
    facts = Facts(
        device=Device(name="card", capability="9.0", arch_list=("sm_90",), refused=None), accelerator=accelerator
    )
    judgements = judge_all(derive(facts, only=ON_A_CARD), facts)
    assert not [j for j in judgements if isinstance(j.outcome, Crashed)]
    return {j.contract.diagnosis.name for j in judgements if isinstance(j.outcome, Broken)}


@pytest.mark.slow
def test_a_healthy_model_has_no_finding_on_a_card(assemble, card, tmp_path):
    seen = look_at_accelerator(choose_part(assemble(), tmp_path), card, tmp_path, steps=11)
    assert msgspec.json.decode(msgspec.json.encode(seen), type=Accelerator) == seen
    assert judge(seen) == set()
    assert seen.precisions[0].is_configured and seen.precisions[0].step == "ok"
    assert len(seen.held) == 11 and seen.strays == ()
    assert [tried.ended for tried in seen.loaders] == ["ok", "ok"]


@pytest.fixture
def placed(assemble, card):
    """The healthy project on the card, without a second batch's worth of work."""
    with card.reach():
        yield place(assemble(), card)


@pytest.mark.slow
def test_an_activation_that_every_step_keeps_is_seen_as_growth(placed, card):
    kept = []
    placed.model.register_forward_hook(lambda module, given, output: kept.append(output))
    held = repeat(placed, FLOAT32, card, 14)
    assert len(held) == 14 and all(after > before for before, after in pairwise(held))


def test_a_step_that_fails_later_says_which(placed, card):
    calls = iter((None, None))
    placed.model.register_forward_hook(lambda module, given, output: next(calls))
    assert repeat(placed, FLOAT32, card, 5).reason.startswith("step 3 raised")


def test_items_asked_for_in_forward_are_counted_at_their_line(placed, card):
    def ask(module, given):
        for value in torch.arange(200, device=card.device).unbind():
            value.item()

    before = sum(wait.times for wait in count_waits(placed, FLOAT32, card))
    placed.model.register_forward_pre_hook(ask)
    waits = count_waits(placed, FLOAT32, card)
    assert waits[0].site.code == "value.item()" and waits[0].times >= 200
    assert sum(wait.times for wait in waits) - before >= 200
    assert before <= 100


def test_the_adapted_model_writes(assemble, placed, card):
    assert write_text(assemble(), placed.inner, card) == "ok"


def test_a_generate_that_raises_is_kept(assemble, placed, card, monkeypatch):
    monkeypatch.setattr(type(placed.inner), "generate", lambda self, **given: 1 / 0)
    assert write_text(assemble(), placed.inner, card).type == "ZeroDivisionError"


def test_a_collator_that_only_works_in_the_main_process_fails_in_workers(assemble, card):
    parts = assemble()
    collate = parts.collate

    def refuse(rows):
        if get_worker_info() is not None:
            raise RuntimeError("Cannot re-initialize CUDA in forked subprocess")
        return collate(rows)

    parts.collate = refuse
    assert try_loader(parts, card, 0).ended == "ok"
    ended = try_loader(parts, card, 2).ended
    assert isinstance(ended, Raised) and "Cannot re-initialize CUDA" in ended.message


def test_an_attention_that_the_code_refuses_is_told_and_the_other_agrees(assemble, card, tmp_path):
    parts = assemble()
    with redirect_cuda():
        expected = read_expected(parts, tmp_path)
    with card.reach():
        tried = try_implementations(parts, FLOAT32, card, expected, tmp_path)
    by_name = {attempt.name: attempt for attempt in tried}
    assert by_name["eager"].is_used and by_name["eager"].difference < 0.02
    assert isinstance(by_name["sdpa"].ended, Raised)


def test_what_the_run_uses_is_loaded_as_the_run_loads_it(assemble, card, tmp_path, monkeypatch):
    """A model of two models may say sdpa, have eager in one of them, and refuse sdpa where it is asked for by name."""
    asked = []

    def choose(parts, folder, *, dtype, attention):
        asked.append(attention)
        return choose_part(parts, folder, dtype=dtype, attention=attention)

    monkeypatch.setattr(attention, "choose_part", choose)
    parts = assemble()
    with card.reach():
        try_implementations(parts, FLOAT32, card, Unknown(reason="none"), tmp_path)
    assert asked == [None, "sdpa"]


def test_a_model_that_cannot_do_float32_is_compared_in_its_own_dtype(assemble, tmp_path):
    parts = choose_part(assemble(), tmp_path, dtype="bfloat16")
    refused = []

    def refuse(module, given):
        if next(module.parameters()).dtype == torch.float32:
            refused.append(module)
            raise RuntimeError("bfloat16 only")

    with redirect_cuda(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(look, "choose_part", lambda parts, folder, dtype: deaf(parts, folder, dtype, refuse))
        expected = read_expected(parts, tmp_path)
    assert refused and isinstance(expected, torch.Tensor) and expected.dtype == torch.float32


def deaf(parts, folder, dtype, refuse):
    chosen = choose_part(parts, folder, dtype=dtype)
    chosen.bare.register_forward_pre_hook(refuse)
    return chosen


def test_where_no_dtype_runs_on_the_cpu_the_reason_is_told(assemble, tmp_path):
    parts = assemble()
    parts.config = msgspec.structs.replace(
        parts.config, subject=msgspec.structs.replace(parts.config.subject, model="user_parts:model")
    )
    parts.bare.register_forward_pre_hook(lambda module, given: 1 / 0)
    with redirect_cuda():
        expected = read_expected(parts, tmp_path)
    assert isinstance(expected, Unknown) and "ZeroDivisionError" in expected.reason


def test_a_loader_of_the_users_own_chooses_its_attention(assemble, card, tmp_path):
    parts = assemble()
    subject = msgspec.structs.replace(parts.config.subject, model="user_parts:model")
    parts.config = msgspec.structs.replace(parts.config, subject=subject)
    tried = try_implementations(parts, FLOAT32, card, Unknown(reason="none"), tmp_path)
    assert tried == Unknown(reason="subject.model chooses it by itself")


def test_a_helper_tensor_on_another_device_is_found(assemble, card, tmp_path):
    """On a CPU there is no second device to meet, so one is made up: the exception is torch's own."""
    parts = assemble()
    layer = next(m for m in parts.bare.modules() if isinstance(m, torch.nn.Linear))

    def meet(module, given):
        if getattr(module, "moved", False):
            other = torch.device("cpu") if card.device.type == "cuda" else torch.device("meta")
            return (given[0] + torch.ones(given[0].shape, device=other),)
        return None

    layer.register_forward_pre_hook(meet)
    original = torch.nn.Module.to

    def to(self, *given, **named):
        moved = original(self, *given, **named)
        layer.moved = True
        return moved

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.Module, "to", to)
        with card.reach():
            placed = place(parts, card)
            raised = repeat(placed, FLOAT32, card, 1)
    assert isinstance(raised, Unknown)
    assert "device" in raised.reason or "meta" in raised.reason
