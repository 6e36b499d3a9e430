"""What several processes are told, and what is refused before they would wait for each other."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from preflight_ocr.harness.training import spreading
from preflight_ocr.harness.training.spreading import SpreadError

PICTURE, TEXT = {"image_path": "a.png", "text": "a"}, {"text": "b"}


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)


def make_trainer(
    *, looks: bool | None = None, fsdp: bool = False, zero: dict[str, Any] | None = None
) -> SimpleNamespace:
    plugin = None if zero is None else SimpleNamespace(
        zero_stage=zero["stage"], deepspeed_config={"zero_optimization": zero}
    )  # fmt: skip
    state = SimpleNamespace(deepspeed_plugin=plugin)
    return SimpleNamespace(
        args=SimpleNamespace(ddp_find_unused_parameters=looks),
        accelerator=SimpleNamespace(state=state),
        is_fsdp_enabled=fsdp,
    )


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize(
    ("trainer", "advice"),
    [
        ({"looks": False}, "remove training.ddp_find_unused_parameters"),
        ({"fsdp": True}, "train with DDP"),
        ({"zero": {"stage": 3}}, "train with DDP"),
    ],
)
def test_rows_with_and_without_pictures_are_refused_where_ranks_would_wait(trainer, advice):
    with pytest.raises(SpreadError, match=advice):
        spreading.refuse_waiting(make_trainer(**trainer), [PICTURE, TEXT])
    spreading.refuse_waiting(make_trainer(**trainer), [PICTURE, PICTURE])
    spreading.refuse_waiting(make_trainer(**trainer), [TEXT, TEXT])


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize("trainer", [{}, {"looks": True}, {"zero": {"stage": 2}}])
def test_they_train_where_ddp_looks_for_what_a_batch_leaves_out(trainer):
    spreading.refuse_waiting(make_trainer(**trainer), [PICTURE, TEXT])


def test_one_process_waits_for_nobody(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    spreading.refuse_waiting(make_trainer(looks=False), [PICTURE, TEXT])
    assert spreading.choose_defaults() == {}
    assert spreading.agree_on_largest(15, torch.device("cpu")) == 15
    assert spreading.exchange("mine") == ["mine"]


def test_zero_3_that_could_not_save_its_adapter_is_refused_before_it_trains():
    with pytest.raises(SpreadError, match="stage3_gather_16bit_weights_on_model_save: true"):
        spreading.refuse_unsavable(make_trainer(zero={"stage": 3}))
    spreading.refuse_unsavable(make_trainer(zero={"stage": 3, "stage3_gather_16bit_weights_on_model_save": True}))
    spreading.refuse_unsavable(make_trainer(zero={"stage": 2}))
    spreading.refuse_unsavable(make_trainer())


@pytest.mark.usefixtures("two")
def test_fsdp_that_does_not_come_about_is_told(caplog):
    with caplog.at_level("WARNING", logger="preflight_ocr.harness.training"):
        for fsdp in (True, False):
            trainer = make_trainer(fsdp=fsdp)
            trainer.args.fsdp = True
            spreading.warn_unsplit(trainer)
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "training.fsdp has no effect without cards"
    ]


@pytest.mark.usefixtures("two")
def test_processes_that_transformers_does_not_see_are_refused():
    with pytest.raises(SpreadError, match=r"2 processes were started, and transformers sees 1"):
        spreading.refuse_lonely(SimpleNamespace(world_size=1))
    spreading.refuse_lonely(SimpleNamespace(world_size=2))


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize(
    ("asked", "quantised", "given"),
    [("auto", True, {"": 1}), ("auto", False, None), (None, True, None), ({"": "cpu"}, False, {"": "cpu"})],
)
def test_each_process_has_the_model_on_its_own_card_whatever_spreads_one_alone(asked, quantised, given):
    assert spreading.choose_device_map(asked, quantised=quantised) == given


def test_one_process_keeps_the_device_map_of_the_file(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert spreading.choose_device_map("auto", quantised=True) == "auto"
