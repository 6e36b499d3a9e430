from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from preflight_ocr.harness.config.config import build_config
from preflight_ocr.harness.facts import Peak
from preflight_ocr.harness.memory.advice import advise, change, list_levers
from preflight_ocr.harness.memory.fit import CONTEXT, CUBLAS

MIB = 1 << 20
FIXED = CONTEXT + CUBLAS


def configure(**sections):
    document = {"model": {"base_model": "model", "torch_dtype": "float32"}, "lora": {"r": 16}, **sections}
    return build_config(document, source=Path("config.yaml").absolute())


def measure(config):
    """A made-up model: weights of 400 MiB, 100 a row, a tenth of that with checkpointing, 10 of states a rank."""
    half = 2 if config.model.torch_dtype == "bfloat16" else 1
    row = (10 if config.training.gradient_checkpointing else 100) // half
    if config.data.preprocessing.crop_mode is False:
        return None  # this model has no tiles
    states = config.lora.r * 10 // (4 if config.training.optim == "adamw_8bit" else 1)
    size = (400 // half + row * config.training.per_device_train_batch_size + states) * MIB
    taken = dict.fromkeys(("requested", "allocated", "reserved", "segments"), size)
    return Peak(parts={}, phase="forward", phases={}, libraries=CUBLAS, context=CONTEXT, **taken)


def give_advice(budget_mib, config=None):
    config = config or configure(training={"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2})
    levers = tuple(list_levers(config, optim="adamw_torch", weights_dtype="float32", page_pixels=1_000_000))
    return advise(config, measure(config), budget_mib * MIB + FIXED, levers, measure)


def test_what_costs_no_quality_comes_first_and_every_figure_is_measured_anew():
    changes, _ = give_advice(800)
    assert [c.words for c in changes] == [
        "batch size 2, accumulated over 4 steps",
        "batch size 1, accumulated over 8 steps",
        "gradient checkpointing",
        "an 8-bit optimizer",
        "bfloat16",
        "rank 8",
    ]
    assert [(c.needed - FIXED) // MIB for c in changes] == [760, 660, 600, 840, 560, 880]
    assert [c.fits for c in changes] == [True, True, True, False, True, False]


def test_the_effective_batch_stays_and_the_yaml_can_be_pasted():
    changes, together = give_advice(800)
    assert together is None
    for made in changes[:2]:
        training = yaml.safe_load(made.yaml)["training"]
        assert training["per_device_train_batch_size"] * training["gradient_accumulation_steps"] == 8


def test_a_change_without_effect_or_that_the_model_cannot_have_is_not_named():
    words = [c.words for c in give_advice(800)[0]]
    assert "no tiles" not in words and not any("pixels" in word for word in words)


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        (575, "bfloat16"),
        (520, "batch size 1, accumulated over 8 steps, an 8-bit optimizer"),
    ],
)
def test_the_least_lossy_changes_are_combined_where_one_is_not_enough(budget, expected):
    changes, together = give_advice(budget if budget != 520 else 545)
    if any(c.fits for c in changes):
        assert together is None and next(c for c in changes if c.fits).words == expected
        return
    assert together.fits and together.needed <= 545 * MIB + FIXED


def test_two_changes_of_one_key_are_never_combined_and_what_became_needless_is_left_out():
    _, together = give_advice(460)
    assert together.fits
    assert "batch size 2" not in together.words
    chosen = yaml.safe_load(together.yaml)
    config = configure(training={"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2})
    flat = {f"{s}.{k}": v for s, values in chosen.items() for k, v in values.items()}
    assert measure(change(config, flat)).needed == together.needed
    for key in flat:  # nothing in it is for show
        fewer = {k: v for k, v in flat.items() if k.partition(".")[0] != key.partition(".")[0]}
        assert measure(change(config, fewer)).needed > 460 * MIB + FIXED


def test_where_all_of_them_together_are_not_enough_nothing_is_promised():
    changes, together = give_advice(50)
    assert changes and not any(c.fits for c in changes) and together is None
