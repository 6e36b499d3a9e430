from __future__ import annotations

import pytest
import torch
from torch import nn

from preflight_ocr.harness.config import packages
from preflight_ocr.harness.config.packages import PackageAbsent
from preflight_ocr.harness.training.model import load_model
from preflight_ocr.harness.training.quantising import (
    describe_quantisation,
    is_packing,
    list_quantised,
    measure_packed,
    mixes_rows,
    rounds,
    settle_kernels,
)
from preflight_ocr.harness.training.train import train

IN_4_BITS = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": "bfloat16"}


@pytest.fixture
def bitsandbytes():
    return pytest.importorskip("bitsandbytes")


def test_a_section_becomes_what_transformers_reads(configure, bitsandbytes):
    settings = describe_quantisation(configure(model={"quantization": IN_4_BITS | {"llm_int8_skip_modules": ["a"]}}))
    assert settings.load_in_4bit and settings.bnb_4bit_quant_type == "nf4"
    assert settings.bnb_4bit_compute_dtype == torch.bfloat16 and settings.llm_int8_skip_modules == ["a"]


def test_what_a_section_leaves_out_is_what_transformers_takes(configure, bitsandbytes):
    settings = describe_quantisation(configure(model={"quantization": {"load_in_4bit": True}}))
    assert settings.bnb_4bit_quant_type == "fp4" and settings.bnb_4bit_compute_dtype == torch.float32


def test_without_a_section_nothing_is_quantised(configure):
    assert describe_quantisation(configure()) is None
    assert describe_quantisation(configure(model={"quantization": {"load_in_4bit": False}})) is None


def test_an_absent_package_is_named_with_the_command(configure, monkeypatch):
    monkeypatch.setattr(packages, "_is_installed", lambda module: False)
    with pytest.raises(PackageAbsent, match=r"model\.quantization needs bitsandbytes.*pip install bitsandbytes"):
        describe_quantisation(configure(model={"quantization": {"load_in_4bit": True}}))


def test_a_loaded_model_is_packed_and_prepared(configure, bitsandbytes):
    model = load_model(configure(model={"torch_dtype": "bfloat16", "quantization": IN_4_BITS}))
    assert list_quantised(model) and rounds(model)
    assert {p.dtype for p in model.parameters() if p.is_floating_point()} == {torch.float32}
    assert not any(p.requires_grad for p in model.parameters())


def test_a_run_in_4_bits_saves_an_adapter_that_moved(configure, bitsandbytes):
    result = train(configure(model={"torch_dtype": "bfloat16", "quantization": IN_4_BITS}))
    assert result.steps == 4 and result.last_loss < result.first_loss


def test_evaluation_in_between_leaves_a_4_bit_layer_its_gradient(bitsandbytes):
    """On processors with AVX512-BF16 bitsandbytes packs for evaluation in a way that has no gradient."""

    def measure_gradient(*, evaluated: bool) -> torch.Tensor:
        torch.manual_seed(0)
        layer = bitsandbytes.nn.Linear4bit(128, 128, bias=False, compute_dtype=torch.float32).to("cpu")
        settle_kernels(layer)
        x = torch.randn(3, 128)
        if evaluated:
            layer.eval()(x)
        x.requires_grad_()
        layer.train()(x).sum().backward()
        return x.grad

    assert torch.equal(measure_gradient(evaluated=True), measure_gradient(evaluated=False))


@pytest.mark.parametrize("nested", [True, False])
def test_the_size_of_a_packed_weight_is_that_of_what_is_stored(bitsandbytes, nested):
    layer = bitsandbytes.nn.Linear4bit(256, 320, bias=False, compress_statistics=nested, quant_type="nf4")
    before = measure_packed(layer)
    layer = layer.to("cpu")
    state = layer.weight.quant_state
    held = [layer.weight, state.absmax, state.code] + ([state.state2.absmax, state.state2.code] if nested else [])
    assert measure_packed(layer).numbers == 256 * 320
    assert measure_packed(layer) == before
    assert measure_packed(layer).bytes == sum(t.numel() * t.element_size() for t in held)


def test_layers_with_8_bits_mix_the_rows_of_a_batch(bitsandbytes):
    assert mixes_rows(nn.Sequential(bitsandbytes.nn.Linear8bitLt(8, 8, has_fp16_weights=False)))
    assert not mixes_rows(nn.Sequential(bitsandbytes.nn.Linear4bit(64, 64)))


def test_an_adapter_around_a_packed_layer_is_no_packed_layer(bitsandbytes):
    import peft

    model = nn.Sequential(bitsandbytes.nn.Linear4bit(64, 64, compute_dtype=torch.float32))
    model.is_loaded_in_4bit = True
    adapted = peft.get_peft_model(model.to("cpu"), peft.LoraConfig(target_modules=["0"]))
    assert [name for name, module in adapted.named_modules() if is_packing(module)] == ["base_model.model.0.base_layer"]


def test_ordinary_layers_do_not_round():
    assert not rounds(nn.Linear(2, 2)) and rounds(nn.Linear(2, 2).bfloat16())
