"""What another program's configuration says, under our keys: axolotl's and LLaMA-Factory's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from preflight_ocr.harness.config.compat import is_training_argument
from preflight_ocr.harness.config.documents import BrokenYaml, read_yaml
from preflight_ocr.harness.config.errors import UserError

AXOLOTL: Mapping[str, str] = {
    "base_model": "model.base_model",
    "revision_of_model": "model.revision",
    "trust_remote_code": "model.trust_remote_code",
    "attn_implementation": "model.attn_implementation",
    "lora_r": "lora.r",
    "lora_alpha": "lora.lora_alpha",
    "lora_dropout": "lora.lora_dropout",
    "lora_target_modules": "lora.target_modules",
    "lora_modules_to_save": "lora.modules_to_save",
    "peft_use_dora": "lora.use_dora",
    "peft_use_rslora": "lora.use_rslora",
    "sequence_len": "data.max_seq_length",
    "micro_batch_size": "training.per_device_train_batch_size",
    "eval_batch_size": "training.per_device_eval_batch_size",
    "num_epochs": "training.num_train_epochs",
    "lr_scheduler": "training.lr_scheduler_type",
    "optimizer": "training.optim",
    "early_stopping_patience": "early_stopping.patience",
}
LLAMA_FACTORY: Mapping[str, str] = {
    "model_name_or_path": "model.base_model",
    "model_revision": "model.revision",
    "trust_remote_code": "model.trust_remote_code",
    "cache_dir": "model.cache_dir",
    "lora_rank": "lora.r",
    "lora_alpha": "lora.lora_alpha",
    "lora_dropout": "lora.lora_dropout",
    "lora_target": "lora.target_modules",
    "additional_target": "lora.modules_to_save",
    "use_dora": "lora.use_dora",
    "use_rslora": "lora.use_rslora",
    "cutoff_len": "data.max_seq_length",
    "image_max_pixels": "data.preprocessing.max_pixels",
    "image_min_pixels": "data.preprocessing.min_pixels",
}
_ATTENTION = {"fa2": "flash_attention_2", "sdpa": "sdpa", "disabled": "eager"}
_SWITCHES: Mapping[str, Mapping[str, Any]] = {
    "flash_attention": {"model.attn_implementation": "flash_attention_2"},
    "sdp_attention": {"model.attn_implementation": "sdpa"},
    "eager_attention": {"model.attn_implementation": "eager"},
    "lora_target_linear": {"lora.target_modules": "all-linear"},
    # Of 4 bits both programs take nf4 and pack its scales, unless they are told otherwise.
    "load_in_4bit": {
        "model.quantization.load_in_4bit": True,
        "model.quantization.bnb_4bit_quant_type": "nf4",
        "model.quantization.bnb_4bit_use_double_quant": True,
    },
    "load_in_8bit": {"model.quantization.load_in_8bit": True},
}
"""What a key that is true says with us. LLaMA-Factory's `quantization_bit` is one of the last two."""
_OF_BITSANDBYTES = (None, "bnb", "bitsandbytes")  # LLaMA-Factory's own default; hqq and eetq have no place with us
_NAMED_IN_QUANTIZATION = {
    "quantization_type": "bnb_4bit_quant_type",
    "double_quantization": "bnb_4bit_use_double_quant",
}
_LISTS = ("lora.target_modules", "lora.modules_to_save")


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """`values` is our dotted key -> value, `left` are the keys of the file that have no place with us."""

    program: str
    values: dict[str, Any]
    left: tuple[str, ...]


def take_over(path: Path) -> Taken:
    """Read the file and name its keys as ours. Raises UserError for a file of neither program."""
    try:
        document, _ = read_yaml(path)
    except OSError as error:
        raise UserError(
            f"--from {path}: cannot be read: {error.strerror}; give axolotl's or LLaMA-Factory's YAML"
        ) from None
    except BrokenYaml as error:
        raise UserError(f"--from {path}:{error.line or 1}: {error.message}") from None
    if isinstance(document, dict) and "model_name_or_path" in document:
        return _translate("LLaMA-Factory", document, LLAMA_FACTORY)
    if isinstance(document, dict) and isinstance(document.get("base_model"), str):
        return _translate("axolotl", document, AXOLOTL)
    raise UserError(
        f"--from {path}: seen neither `base_model: ID` as axolotl writes it nor `model_name_or_path: ID` as LLaMA-Factory "
        f"does; give one of their YAML files"
    )


def _translate(program: str, document: Mapping[str, Any], names: Mapping[str, str]) -> Taken:
    values: dict[str, Any] = {}
    left = []
    for key, value in document.items():
        if value is None:
            continue
        if key in names:
            values[names[key]] = _as_modules(value, program) if names[key] in _LISTS else value
        elif key in _SWITCHES and value is not True:
            continue  # what is switched off says nothing
        elif key in _SWITCHES:
            values |= _SWITCHES[key]
        elif key == "quantization_bit" and value in (4, 8) and document.get("quantization_method") in _OF_BITSANDBYTES:
            values |= _SWITCHES[f"load_in_{value}bit"]
        elif key == "flash_attn" and value in _ATTENTION:
            values["model.attn_implementation"] = _ATTENTION[value]
        elif isinstance(key, str) and is_training_argument(key) and value != "auto":
            values[f"training.{key}"] = _as_number(value)
        elif key not in _NAMED_IN_QUANTIZATION or "quantization_bit" not in document:
            left.append(str(key))
    if "model.quantization.load_in_4bit" in values:
        values |= {
            f"model.quantization.{ours}": document[key]
            for key, ours in _NAMED_IN_QUANTIZATION.items()
            if key in document
        }
    return Taken(program=program, values=values, left=tuple(left))


def _as_modules(value: Any, program: str) -> Any:
    """Names of modules as PEFT takes them. axolotl hands PEFT a text as it is, a pattern; LLaMA-Factory's is names with
    commas between them, and its `all` is PEFT's `all-linear`.
    """
    if not isinstance(value, str) or value == "all-linear" or program == "axolotl":
        return value
    return "all-linear" if value == "all" else [word.strip() for word in value.split(",")]


def _as_number(value: Any) -> Any:
    """`2e-4` is text in YAML 1.1."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value
