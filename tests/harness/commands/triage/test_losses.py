"""What the numbers of a log say, and what they do not."""

from __future__ import annotations

import io
import math

import pytest

from preflight_ocr.harness.commands.triage import diagnose


def read(text: str, vocabulary: int | None = None):
    return diagnose(io.BytesIO(text.encode()), vocabulary=vocabulary)


def log(*losses: float | str, norm: float | str = 1.5) -> str:
    return "".join(
        f"{{'loss': {loss}, 'grad_norm': {norm}, 'learning_rate': 0.0003, 'epoch': 0.1}}\n" for loss in losses
    )


@pytest.mark.parametrize(
    "line",
    [
        "{'loss': 15.7, 'grad_norm': 2.5, 'learning_rate': 0.0003, 'epoch': 0.1}",
        "{'loss': '15.7', 'grad_norm': '2.5', 'learning_rate': '0.0003', 'epoch': '0.1'}",
        '      "loss": 15.7,',
        "{'eval_loss': 15.7, 'eval_runtime': 3.1}",
        "step 10 | loss: 15.70 | lr 3e-4",
        "  3%|3         | 3/100 [00:10<05:00, 2.5it/s, loss=15.7]",
        "2026-01-02 03:04:05,678 - INFO - Loss: 1.57e+01",
        "train loss 15.7",
        "Step\tTraining Loss\n10\t15.700000\n20\t14.2",
    ],
)
def test_a_loss_above_a_uniform_guess_is_worse_than_guessing_however_it_is_written(line):
    answer = read(line, vocabulary=129280)
    assert answer.pointers[0].name == "worse_than_guessing"
    assert answer.pointers[0].certain
    assert "ln(129280) = 11.77" in answer.recognised[0].text
    assert answer.exit_code == 12


def test_only_the_loss_at_the_start_is_held_against_the_guess():
    assert read(log(2.1, 30.0), vocabulary=1000).recognised == ()
    assert read(log(8.0, 2.0), vocabulary=1000).recognised != ()


@pytest.mark.parametrize("said", ['"vocab_size": 129280,', "vocab_size=129280", "vocabulary size: 129,280"])
def test_the_vocabulary_may_stand_in_the_text(said):
    assert read(f"{said}\n{log(15.7)}").vocabulary == 129280
    assert read(f'"vocab_size": 32000\n{said}\n{log(11.0)}').recognised == ()  # the larger one counts


def test_without_a_vocabulary_nothing_is_guessed_and_it_is_said_what_is_needed():
    answer = read(log(15.7, 14.0))
    assert answer.recognised == ()
    assert "--vocabulary N" in answer.notes[0]
    assert f"{math.ceil(math.exp(15.7)):,}" in answer.notes[0]


def test_a_loss_that_beats_every_vocabulary_asks_for_nothing():
    answer = read(log(1.2, 0.8))
    assert (answer.notes, answer.recognised, answer.losses, answer.exit_code) == ((), (), 2, 0)


def test_every_loss_0_or_nan_may_be_unsupervised_labels():
    for losses in (("0.0", "0.0"), ("nan", "NaN"), ("'nan'",), ("Infinity",)):
        answer = read(log(*losses))
        assert answer.pointers[0].name == "nothing_supervised", losses
        assert not any(pointer.certain for pointer in answer.pointers)
        assert answer.recognised[0].times == len(losses)


def test_a_loss_that_reaches_0_in_the_end_is_nothing_to_report():
    assert read(log(2.0, 0.5, 0.0)).recognised == ()


def test_a_nan_in_the_middle_is_named_with_its_line():
    answer = read(log(2.0, 1.9, "nan", 1.8))
    assert [p.name for p in answer.pointers] == ["nothing_supervised", "truncated_image_tokens", "fp16_master_weights"]
    assert answer.recognised[0].line == 3


def test_gradients_count_only_where_all_of_them_are_0_or_nan():
    assert read(log(2.0, norm=0.0) + log(1.9)).recognised == ()
    assert read(log(2.0, norm="inf") + log(1.9)).recognised == ()  # a gradient scaler finds its scale
    assert read(log(2.0, 1.9, norm=0.0)).pointers[0].name == "frozen_adapter"
    assert read(log(2.0, 1.9, norm="nan")).pointers[0].name == "fp16_master_weights"


@pytest.mark.parametrize(
    "line", ["moe_aux_loss: 0.0", "the loss function of 3 models", "aux_loss=nan", "no loss 2 workers", "lossless 0.0"]
)
def test_what_is_no_loss_is_not_taken_for_one(line):
    assert read(line).losses == 0
