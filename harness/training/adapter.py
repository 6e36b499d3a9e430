"""The adapter step: LoRA as configured, on the bare model."""

from __future__ import annotations

from typing import Any

import msgspec
import peft
import torch

from preflight_ocr.harness.config import compat
from preflight_ocr.harness.config.errors import UserError
from preflight_ocr.harness.config.schema import Config
from preflight_ocr.harness.training.subject import load_part


class AdapterError(UserError):
    """The `lora` section does not fit this model or this peft."""


def attach(model: torch.nn.Module, config: Config) -> torch.nn.Module:
    """The model with its adapter, or what `subject.peft` returns.

    Gradient checkpointing must come after this step: with it already on, PEFT makes the frozen embeddings require
    gradients, and a model that writes image features into them cannot run.
    """
    adapt = load_part(config, "peft")
    if adapt is not None:
        adapted: torch.nn.Module = adapt(config, model)
        return adapted
    wrapped: torch.nn.Module = peft.get_peft_model(model, describe_adapter(config))
    if not any(parameter.requires_grad for parameter in wrapped.parameters()):
        raise AdapterError(f"lora.target_modules {config.lora.target_modules} makes no parameter trainable")
    return wrapped


def describe_adapter(config: Config) -> peft.LoraConfig:
    """LoraConfig from the `lora` section. A given key that the installed peft lacks is an error, not a loss."""
    section: dict[str, Any] = msgspec.structs.asdict(config.lora)
    chosen = {name: value for name, value in section.items() if value is not None}
    fitted, unused = compat.fit_keywords(chosen, compat.accepted_names(peft.LoraConfig.__init__))
    lost = [name for name in unused if f"lora.{name}" in config.given]
    if lost:
        raise AdapterError(f"the installed peft has no lora.{lost[0]}; remove the key or upgrade peft")
    return peft.LoraConfig(**fitted)
