"""Weights in 4 or 8 bits: what the YAML asks of bitsandbytes, and one kernel for training and reading on a CPU."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import nn

from preflight_ocr.harness.config.packages import require
from preflight_ocr.harness.config.schema import Config, Quantization

PACKAGE = "bitsandbytes"


def asks_for_quantisation(section: Quantization | None) -> bool:
    """Whether the YAML's `model.quantization` switches anything on."""
    return section is not None and (section.load_in_4bit or section.load_in_8bit)


def describe_quantisation(config: Config) -> Any:
    """The BitsAndBytesConfig that `model.quantization` describes, None where it asks for none.

    What the section leaves out is what the installed transformers takes. Raises PackageAbsent without bitsandbytes, and
    what BitsAndBytesConfig raises for values that it refuses.
    """
    section = config.model.quantization
    if section is None or not asks_for_quantisation(section):
        return None
    require("model.quantization", (PACKAGE,))
    from transformers import BitsAndBytesConfig

    given = {name: getattr(section, name) for name in section.__struct_fields__}
    return BitsAndBytesConfig(**{name: value for name, value in given.items() if value is not None})


def prepare(model: nn.Module) -> nn.Module:
    """What PEFT does before k-bit training: everything is frozen, and what is not quantised and in half precision becomes
    float32. Gradient checkpointing is switched on later, behind the adapter."""
    from peft import prepare_model_for_kbit_training

    prepared: nn.Module = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    return prepared


def is_packed(weight: Any) -> bool:
    """Whether a weight's numbers are packed: its dtype and, in 4 bits, its shape say nothing of the matrix it stands for."""
    return type(weight).__name__ in ("Params4bit", "Int8Params")


def is_packing(module: nn.Module) -> bool:
    """Whether a layer is one of bitsandbytes that computes with packed weights, whatever its weight is now.

    PEFT calls its adapter around such a layer by the same name, and that one is no linear layer.
    """
    return isinstance(module, nn.Linear) and any(
        kind.__name__ in ("Linear4bit", "Linear8bitLt") for kind in type(module).__mro__
    )


def rounds(model: nn.Module) -> bool:
    """Whether a model's sums are coarser than float32's: in half precision, or where layers compute with packed weights."""
    coarse = any(p.is_floating_point() and p.dtype != torch.float32 for p in model.parameters())
    return coarse or any(is_packing(module) for module in model.modules())


def mixes_rows(model: nn.Module) -> bool:
    """Whether layers choose by the whole batch what they compute exactly, as those with 8 bits do (LLM.int8)."""
    return any(is_packing(module) and not hasattr(module, "compute_dtype") for module in model.modules())


def settle_kernels(model: nn.Module) -> None:
    """Have 4-bit layers compute alike in training and in evaluation on this CPU.

    bitsandbytes 0.49 and later lay the weights out anew for evaluation on processors with AVX512-BF16. That layout has no
    gradient, stays when training goes on, and asks for widths that small models do not have; a card has nothing like it.
    """
    for module in model.modules():
        if getattr(module, "support_avx512bf16_for_cpu", False):
            module.support_avx512bf16_for_cpu = False  # type: ignore[assignment]


def pack(model: nn.Module, config: Config) -> nn.Module:
    """A model that was built and not loaded, on the meta device, with layers for packed weights where loading would make
    them. `fill` gives them numbers. The same model where the YAML asks for nothing of the kind."""
    settings = describe_quantisation(config)
    return model if settings is None else pack_by(model, settings)


def pack_by(model: nn.Module, settings: Any) -> nn.Module:
    """The same by a BitsAndBytesConfig. Raises what transformers' quantiser raises."""
    from transformers.quantizers import AutoHfQuantizer

    quantiser: Any = AutoHfQuantizer.from_config(settings, pre_quantized=False)
    quantiser.preprocess_model(model=model, device_map=None, keep_in_fp32_modules=[])
    quantiser.postprocess_model(model)
    model.hf_quantizer = quantiser  # as loading leaves it: Trainer asks it whether such a model can be trained
    settle_kernels(model)
    return model


def fill(weight: Any, values: torch.Tensor) -> nn.Parameter:
    """A packed weight of the same kind and settings as `weight`, with these numbers."""
    settings = {name: value for name, value in vars(weight).items() if name not in ("CB", "SCB", "quant_state")}
    made: nn.Parameter = type(weight)(values, requires_grad=False, **settings).to("cpu")
    return made


class PackedSize(NamedTuple):
    """How many numbers a packed weight stands for, and the bytes that it takes with its scales."""

    numbers: int
    bytes: int


def measure_packed(module: nn.Module) -> PackedSize:
    """The size of a layer's packed weight on a card, whether or not its numbers are there.

    4 bits: a scale for each block of numbers (float32, or a byte each with a float32 for 256 of them), and a table.
    8 bits: a scale for each row. bitsandbytes, `functional.quantize_4bit` and `nn.Int8Params`.
    """
    weight: Any = module.weight
    state = getattr(weight, "quant_state", None)
    shape = torch.Size((int(module.out_features), int(module.in_features)))  # type: ignore[arg-type]
    numbers = shape.numel()
    if not hasattr(module, "compute_dtype"):
        return PackedSize(numbers, numbers + shape[0] * 4)
    blocks = -(-numbers // int(getattr(weight, "blocksize", None) or 64))
    nested = bool(state.nested if state is not None else getattr(weight, "compress_statistics", False))
    scales = blocks + -(-blocks // 256) * 4 + 256 * 4 if nested else blocks * 4
    return PackedSize(numbers, -(-numbers // 2) + scales + 16 * 4)


def list_quantised(model: nn.Module) -> dict[str, nn.Module]:
    """The layers whose weight is packed, by name."""
    return {name: m for name, m in model.named_modules() if is_packing(m) and is_packed(m.weight)}
