"""Every message that is known is named by its diagnosis, every other one is left alone."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
import yaml

from preflight_ocr.harness.commands.triage import diagnose
from preflight_ocr.harness.commands.triage.recogniser import compile_pattern, recognise
from preflight_ocr.harness.commands.triage.table import list_recognisers

HERE = Path(__file__).parent
MESSAGES = yaml.safe_load((HERE / "messages.yaml").read_text(encoding="utf-8"))
STRANGERS = yaml.safe_load((HERE / "strangers.yaml").read_text(encoding="utf-8"))
EVERY = pytest.mark.parametrize("message", MESSAGES, ids=lambda m: f"{m['from']}: {m['text'][:40]}")


def read(text: str):
    return diagnose(io.BytesIO(text.encode()))


def name(text: str) -> tuple[list[str], list[str]]:
    """What is certain, and what is possible."""
    pointers = read(text).pointers
    return [p.name for p in pointers if p.certain], [p.name for p in pointers if not p.certain]


@EVERY
def test_a_message_is_named_by_its_diagnosis(message):
    assert name(message["text"]) == (message.get("certain", []), message.get("possible", []))


@EVERY
def test_a_message_is_found_in_the_middle_of_a_log_as_well(message):
    log = f"[INFO] loading\n  0%|    | 0/10 [00:00<?, ?it/s]\n\n{message['text'].rstrip()}\n\nwandb: run ended\n"
    assert name(log) == (message.get("certain", []), message.get("possible", []))


@EVERY
def test_a_message_survives_colours_ranks_times_and_windows_line_ends(message):
    lines = message["text"].rstrip().splitlines()
    for before, after in (("\x1b[31m", "\x1b[0m"), ("[rank0]: ", ""), ("2026-01-02T03:04:05.678Z ", ""), ("", "\r")):
        written = "\n".join(f"{before}{line}{after}" for line in lines) + "\n"
        assert name(written) == (message.get("certain", []), message.get("possible", [])), before


@EVERY
def test_no_pattern_depends_on_a_number(message):
    """Lines that differ in digits alone are looked at once: what matches must match with other digits too."""
    said = message["text"].strip()
    matching = [p for r in list_recognisers() for p in r.patterns if compile_pattern(p).search(said)]
    other = re.sub(r"\d", "7", said)
    assert all(compile_pattern(pattern).search(other) for pattern in matching)


@pytest.mark.parametrize("text", STRANGERS)
def test_a_stranger_is_not_recognised_rather_than_guessed(text):
    answer = read(text)
    assert answer.recognised == ()
    assert len(answer.unrecognised) == 1
    assert answer.exit_code == 3


def test_every_recogniser_is_met_by_a_message():
    """An entry without a message is a pattern that nobody has seen match."""
    texts = [m["text"] for m in MESSAGES] + EXTRA
    unmet = [
        recogniser.patterns[0]
        for recogniser in list_recognisers()
        if not any(compile_pattern(p).search(text) for p in recogniser.patterns for text in texts)
    ]
    assert not unmet


EXTRA = [
    "Some weights of the model checkpoint at x were not used when initializing Y: ['a.b']",
    "RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "UnicodeDecodeError: 'charmap' codec can't decode byte 0x98 in position 4",
    "RuntimeError: Torch not compiled with CUDA enabled",
]


@pytest.mark.parametrize(
    ("text", "expected"),
    list(
        zip(
            EXTRA,
            ["unregistered_auto_class", "memory_over_budget", "legacy_encoding", "hard_coded_device"],
            strict=True,
        )
    ),
)
def test_what_only_may_be_is_never_certain(text, expected):
    assert name(text) == ([], [expected])


def test_a_general_message_counts_only_where_a_model_or_a_collator_raised_it():
    message = "TypeError: 'NoneType' object is not subscriptable"
    model = "/srv/m/modeling_x.py, in forward: image = images[0]"
    own = "/home/me/x.py, in show: title = row['a']['b']"
    entry = next(r for r in list_recognisers() if recognise(r, message, kind="TypeError", stack=model))
    assert recognise(entry, message, kind="TypeError", stack=own) == ()
    assert recognise(entry, message, kind="TypeError") != ()


def test_what_source_code_says_in_a_traceback_is_no_message():
    code = "    raise ValueError('Attempting to unscale FP16 gradients.')"
    log = f'Traceback (most recent call last):\n  File "a.py", line 1, in f\n{code}\nValueError: no\n'
    assert read(log).recognised == ()
