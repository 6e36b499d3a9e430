"""What a row without a picture leaves out; the corpus plants it in every model that takes such rows."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from preflight_ocr.harness.facts import Uneven, Unknown
from preflight_ocr.probes.learning.uneven import find_waiting, look_at_uneven

WAITING = {"ddp_find_unused_parameters": False}


class Reader(nn.Module):
    """Reads a picture where there is one."""

    def __init__(self) -> None:
        super().__init__()
        self.visual, self.words = nn.Linear(2, 2), nn.Linear(2, 2)

    def forward(self, words, picture=None):
        hidden = self.words(words)
        if picture is not None:
            hidden = hidden + self.visual(picture)
        return {"loss": hidden.sum()}


def look(arguments=WAITING, bare=(), collate=lambda rows: {"words": torch.ones(1, 2)}):
    model = Reader()
    parts = SimpleNamespace(
        config=SimpleNamespace(training=SimpleNamespace(arguments=arguments)),
        find_bare_row=lambda: bare,
        seeded=lambda make, rows: make(rows),
        collate=collate,
        anatomy=SimpleNamespace(part_of=lambda name: "vision" if "visual" in name else "head"),
    )
    found = look_at_uneven(parts, model, model, {"words": torch.ones(1, 2), "picture": torch.ones(1, 2)})
    assert all(parameter.grad is None for parameter in model.parameters())
    return found


def test_the_weights_that_only_a_picture_reaches_are_counted_by_part():
    found = look()
    assert found == Uneven(
        waits="ddp_find_unused_parameters: false", left_out={"vision": 2}, example="visual.weight", reached=4, trained=4
    )


def test_nothing_is_run_where_no_process_waits_or_every_row_has_a_picture():
    def refuse(rows):
        raise AssertionError("collated")

    assert look(arguments={}, collate=refuse) is None
    assert look(bare=None, collate=refuse) is None


def test_a_row_that_the_collator_refuses_is_unknown():
    def refuse(rows):
        raise ValueError("a row has no picture")

    found = look(collate=refuse)
    assert isinstance(found, Unknown) and "a row has no picture" in found.reason


@pytest.mark.parametrize(
    ("arguments", "waits"),
    [
        ({}, ""),
        ({"ddp_find_unused_parameters": True}, ""),
        ({"ddp_find_unused_parameters": None}, ""),
        ({"ddp_find_unused_parameters": False}, "ddp_find_unused_parameters: false"),
        ({"fsdp": "full_shard auto_wrap"}, "fsdp: full_shard auto_wrap"),
        ({"fsdp": ""}, ""),
        ({"deepspeed": {"zero_optimization": {"stage": 3}}}, "deepspeed with ZeRO stage 3"),
        ({"deepspeed": {"zero_optimization": {"stage": 2}}}, ""),
        ({"deepspeed": {"zero_optimization": "all"}}, ""),
        ({"deepspeed": "no such file.json"}, ""),
    ],
)
def test_what_makes_processes_wait(arguments, waits):
    assert find_waiting(arguments) == waits


def test_the_stage_is_read_from_deepspeed_s_own_file(tmp_path):
    path = tmp_path / "zero.json"
    path.write_text(json.dumps({"zero_optimization": {"stage": 3}}), encoding="utf-8")
    assert find_waiting({"deepspeed": str(path)}) == "deepspeed with ZeRO stage 3"
    path.write_text("[", encoding="utf-8")
    assert find_waiting({"deepspeed": str(path)}) == ""
