"""Which numbers make sense: a number outside its range is refused by its key, before a library makes something of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from preflight_ocr.harness.config import compat
from preflight_ocr.harness.config.errors import ConfigError
from preflight_ocr.harness.config.keys import training_name

_LARGEST = 2**53  # whole numbers up to here are the same as a float

RANGES: Mapping[str, tuple[float, float]] = {
    "lora.r": (1, 100_000),
    "lora.lora_alpha": (0, 1_000_000),
    "lora.lora_dropout": (0, 1),
    "lora.layers_to_transform": (0, 100_000),
    "lora.rank_pattern": (1, 100_000),
    "lora.alpha_pattern": (0, 1_000_000),
    "training.per_device_train_batch_size": (1, 1_000_000),
    "training.per_device_eval_batch_size": (1, 1_000_000),
    "training.gradient_accumulation_steps": (1, 1_000_000),
    "training.num_train_epochs": (0, 1_000_000),
    "training.max_steps": (-1, 1_000_000_000),
    "training.learning_rate": (0, 1000),
    "training.max_grad_norm": (0, math.inf),
    "training.weight_decay": (0, 1000),
    "training.adam_beta1": (0, 1),
    "training.adam_beta2": (0, 1),
    "training.adam_epsilon": (0, 1),
    "training.label_smoothing_factor": (0, 1),
    "training.warmup_steps": (0, 1_000_000_000),
    "training.warmup_ratio": (0, 1),
    "training.save_steps": (0, 1_000_000_000),
    "training.eval_steps": (0, 1_000_000_000),
    "training.logging_steps": (0, 1_000_000_000),
    "training.dataloader_num_workers": (0, 1024),
    "training.seed": (0, 2**32 - 1),
    "training.data_seed": (0, 2**32 - 1),
    "data.max_seq_length": (1, 10_000_000),
    "data.cache_gb": (0, 1_000_000),
    "data.preprocessing.base_size": (1, 100_000),
    "data.preprocessing.image_size": (1, 100_000),
    "data.preprocessing.min_pixels": (1, 10_000_000_000),
    "data.preprocessing.max_pixels": (1, 10_000_000_000),
    "data.preprocessing.image_mean": (-1000, 1000),
    "data.preprocessing.image_std": (0, 1000),
    "data.augmentation.rotation_range": (0, 360),
    "data.augmentation.brightness_range": (0, 1000),
    "data.augmentation.contrast_range": (0, 1000),
    "early_stopping.patience": (0, 1_000_000),
    "early_stopping.threshold": (-1_000_000, 1_000_000),
    "evaluation.sample": (1, 1_000_000_000),
    "evaluation.max_new_tokens": (1, 1_000_000),
    "budget.vram_gb": (0, 1_000_000),
}
"""Dotted key -> the smallest and the largest number that is taken, in a list or a mapping too. Every other number has to be
finite."""


def refuse_numbers(values: Mapping[str, Any], source: Path, lines: Mapping[str, int]) -> None:
    """Raise ConfigError for the first number that no run could use; `values` is dotted key -> value."""
    for key, value in values.items():
        section, _, _ = key.partition(".")
        plain = f"training.{compat.modern_name(training_name(key))}" if section in ("training", "optimization") else key
        low, high = RANGES.get(plain, (-_LARGEST, _LARGEST))
        for number in _list_numbers(value, wants_text=plain in RANGES):
            if low <= number <= high:
                continue
            expected = f"a number from {low:,} to {high:,}" if plain in RANGES else "a finite number"
            expected = f"{low:,} or more" if high == math.inf else expected
            seen = f"{number!r}" if value is number else f"{value!r:.100}"
            message = f"`{key}` is {seen}, expected {expected}; correct the value of `{key}`"
            raise ConfigError(source, message, line=lines.get(key))


def _list_numbers(value: Any, *, wants_text: bool) -> Iterator[float]:
    """Every number in a value; a text that reads as one where a number is expected, as the schema takes it for one."""
    if isinstance(value, bool):
        return
    if isinstance(value, int | float):
        yield value
    elif isinstance(value, str) and wants_text:
        try:
            yield float(value)
        except ValueError:
            return  # the schema says what is wrong with it
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _list_numbers(item, wants_text=wants_text)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _list_numbers(item, wants_text=wants_text)
