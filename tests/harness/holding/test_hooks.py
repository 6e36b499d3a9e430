"""What of a command is not carried out where it is held."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from preflight_ocr.harness.holding import hooks
from preflight_ocr.harness.holding.hooks import Holder, read_lightning, take_apart


@pytest.fixture
def holder() -> Holder:
    return Holder(take_over=lambda held: None, build=lambda *given: None, tell=lambda said: None, rows=None)


@pytest.mark.parametrize("spelling", ["attn_implementation", "_attn_implementation"])
def test_flash_attention_becomes_plain_attention_in_either_spelling(holder: Holder, spelling: str) -> None:
    assert holder._drop_what_needs_a_card({spelling: "flash_attention_2"}) == {"attn_implementation": "eager"}
    assert "flash_attention_2" in holder.undone[0]


def test_nobody_is_asked_for_a_token_and_one_that_is_given_is_used(holder: Holder) -> None:
    used: list[object] = []

    def login(token: str | None = None, **named: object) -> None:
        used.append(token)

    quiet = holder._ask_nobody("login", login)
    quiet()
    assert used == [] and "nobody is asked" in holder.undone[0]
    quiet(token="hf_given")
    quiet("hf_given")
    assert used == ["hf_given", "hf_given"]


def test_a_model_that_is_named_by_keyword_is_loaded_as_one_that_is_not(holder: Holder) -> None:
    asked: list[str] = []

    class Model:
        @classmethod
        def from_pretrained(cls, source: str, **named: object) -> None: ...

    library: Any = SimpleNamespace(PreTrainedModel=Model)
    holder._load = lambda cls, original, source, named: asked.append(source)  # type: ignore[method-assign, assignment, func-returns-value]
    holder._patch_loading(library)
    Model.from_pretrained("one")
    Model.from_pretrained(pretrained_model_name_or_path="two")  # type: ignore[call-arg]
    assert asked == ["one", "two"]


class Reader(nn.Module):
    peft_config = None  # the mark of an adapter's wrapper

    def forward(
        self, pixel_values: torch.Tensor, decoder_input_ids: Any = None, labels: Any = None, **kwargs: Any
    ) -> Any:
        raise AssertionError("the model is not run to learn what it is called with")


class Module(nn.Module):
    """As a Lightning module is written: its batch is a tuple, and its own forward is nobody's."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Reader()

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        pixels, labels, _ = batch
        return self.model(pixels, labels=labels, decoder_input_ids=None, use_cache=False).loss


def test_a_lightning_module_takes_its_tuple_apart_itself() -> None:
    held = read_lightning(Module(), SimpleNamespace(collate_fn=tuple, dataset=[1, 2], batch_size=2), None, "fit")
    assert isinstance(held.model, Reader)
    made = held.unpack((torch.ones(1), torch.zeros(2), ["text"]))
    assert list(made) == ["pixel_values", "labels", "use_cache"]
    assert made["labels"].shape == (2,) and made["use_cache"] is False
    assert not held.model._forward_pre_hooks


def test_what_a_training_step_raises_before_its_model_is_raised_and_one_that_calls_none_is_told() -> None:
    with pytest.raises(ValueError, match="not enough values"):
        take_apart(Module(), (1, 2))
    silent = Module()
    silent.training_step = lambda batch, batch_idx: None  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="did not call its model"):
        take_apart(silent, (1, 2, 3))


def test_weights_that_no_library_packs_here_are_loaded_plain_and_it_is_said(holder: Holder) -> None:
    asked: list[Any] = []

    def load(packing: Any) -> str:
        asked.append(packing)
        if packing is not None:
            raise RuntimeError("no kernel for this processor")
        return "plain"

    assert holder._try_packed(load, "nf4") == "plain"
    assert asked == ["nf4", None]
    assert "unquantised (RuntimeError: no kernel for this processor)" in holder.undone[0]


@pytest.mark.parametrize("asked", [{}, {"load_in_4bit": False}, {"quantization_config": None, "load_in_8bit": False}])
def test_a_command_that_packs_nothing_is_asked_for_nothing(holder: Holder, asked: dict[str, Any]) -> None:
    assert holder._take_packing(asked) is None
    assert asked == {} and holder.undone == []


def test_without_bitsandbytes_weights_are_loaded_plain_and_it_is_said(
    holder: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import BitsAndBytesConfig

    packing = BitsAndBytesConfig()
    monkeypatch.setattr(hooks.importlib.util, "find_spec", lambda name: None)
    assert holder._take_packing({"quantization_config": packing}) is None
    assert "bitsandbytes is not installed" in holder.undone[0]


def test_weights_packed_by_another_library_are_loaded_plain_and_it_is_named(holder: Holder) -> None:
    assert holder._take_packing({"quantization_config": {"quant_method": "gptq", "bits": 4}}) is None
    assert "unquantised (gptq)" in holder.undone[0]
