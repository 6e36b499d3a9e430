from __future__ import annotations

import pytest

from preflight_ocr.harness.memory.optimizers import LIBRARY, MOMENTS, count_state_bytes, is_known


@pytest.mark.parametrize(
    ("optim", "expected"),
    [
        ("adamw_torch", 2 * 8192 * 4),
        ("sgd", 0),
        ("adafactor", (64 + 128) * 4),
        ("lion_32bit", 8192 * 4),
        ("lion_8bit", 8192 + 32 * 4 + 1024),
        ("adamw_8bit", 2 * (8192 + 32 * 4 + 1024)),
        ("paged_adamw_32bit", 2 * 8192 * 4),
        ("somebodys_own", 2 * 8192 * 4),
    ],
)
def test_states_of_a_matrix_of_64_by_128(optim, expected):
    assert count_state_bytes(optim, 8192, 4, (64, 128)) == expected


def test_a_small_tensor_keeps_float32_moments_even_in_an_8_bit_optimizer():
    assert count_state_bytes("adamw_8bit", 4095, 4, (4095,)) == 2 * 4095 * 4


def test_states_of_half_precision_weights_are_half_as_large_in_torch_and_not_in_bitsandbytes():
    assert count_state_bytes("adamw_torch", 100, 2, (100,)) == 400
    assert count_state_bytes("paged_adamw_32bit", 100, 2, (100,)) == 800


def test_every_name_is_one_that_trainer_takes():
    from transformers.training_args import OptimizerNames

    names = {name.value for name in OptimizerNames}
    assert set(LIBRARY) | set(MOMENTS) <= names | {"adamw_hf", "ademamix", "ademamix_8bit", "paged_ademamix_32bit",
                                                   "paged_ademamix_8bit"}  # fmt: skip
    assert is_known("adamw_8bit") and not is_known("galore_adamw")
