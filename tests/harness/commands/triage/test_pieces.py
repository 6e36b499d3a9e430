"""Texts as they come: notebooks, boxes, ranks, progress bars, workers, cut ends, other encodings, any size."""

from __future__ import annotations

import io
import tracemalloc

import pytest

from preflight_ocr.harness.commands.triage import diagnose
from preflight_ocr.harness.commands.triage.pieces import Failure, Said, read_pieces

PLAIN = """Traceback (most recent call last):
  File "/a/train.py", line 3, in <module>
    main()
    ~~~~^^
  File "/a/train.py", line 9, in main
    model(
        images=1,
    )
TypeError: no images
"""


def read(text: str | bytes) -> list[Failure | Said]:
    return list(read_pieces(io.BytesIO(text.encode() if isinstance(text, str) else text)))


def only(text: str | bytes) -> Failure:
    (failure,) = (piece for piece in read(text) if isinstance(piece, Failure))
    return failure


def test_a_traceback_is_one_failure_with_its_frames_and_code():
    failure = only(PLAIN)
    assert (failure.text, failure.line) == ("TypeError: no images", 1)
    assert [(f.function, f.line) for f in failure.frames] == [("<module>", 3), ("main", 9)]
    assert failure.stack.splitlines()[-1] == "/a/train.py, in main: model( images=1, )"


@pytest.mark.parametrize(
    "encoded",
    [
        PLAIN.encode("utf-16"),
        PLAIN.encode("utf-8-sig"),
        PLAIN.replace("\n", "\r\n").encode(),
        b"\xff\x00" + PLAIN.encode(),
    ],
    ids=["utf-16", "utf-8 with a mark", "windows", "bytes that are no text"],
)
def test_a_traceback_is_the_same_in_any_encoding(encoded):
    if encoded.startswith(b"\xff\x00"):
        encoded = b"caf\xe9 \xff\n" + PLAIN.encode()
    assert only(encoded).text == "TypeError: no images"


@pytest.mark.parametrize(
    "prefix", ["[rank1]: ", "[default0]:", "2026-01-02 03:04:05,678 ", "[2026-01-02 03:04:05] ", "> "]
)
def test_what_a_launcher_or_a_log_writes_in_front_of_every_line_is_taken_off(prefix):
    failure = only("".join(f"{prefix}{line}\n" for line in PLAIN.splitlines()))
    assert (failure.text, len(failure.frames)) == ("TypeError: no images", 2)


def test_a_notebook_prints_its_frames_in_another_way():
    failure = only(
        "---------------------------------------------------------------------------\n"
        "TypeError                                 Traceback (most recent call last)\n"
        "Cell In[5], line 3\n      1 import x\n----> 3 trainer.train()\n\n"
        "File ~/lib/python3.11/site-packages/peft/peft_model.py:1644, in PeftModel.forward(self, x)\n"
        "   1643     a\n-> 1644 return self.base_model(images)\n   1645     b\n\n"
        "TypeError: no images\n"
    )
    assert failure.text == "TypeError: no images"
    assert [f.code for f in failure.frames] == ["trainer.train()", "return self.base_model(images)"]


def test_a_traceback_in_a_box_is_read():
    failure = only(
        "╭──────────── Traceback (most recent call last) ─────────────╮\n"
        "│ /a/train.py:9 in main                                      │\n"
        "│                                                            │\n"
        "│    8 │   x = 1                                             │\n"
        "│ ❱  9 │   model(images)                                     │\n"
        "╰────────────────────────────────────────────────────────────╯\n"
        "TypeError: no images\n"
    )
    assert (failure.text, failure.stack) == ("TypeError: no images", "/a/train.py, in main: model(images)")


def test_progress_bars_and_other_processes_may_write_in_between():
    text = PLAIN.replace("TypeError", "\r  3%|▎  | 3/100 [00:10<05:00]\rwandb: syncing\nTypeError")
    assert only(text).text == "TypeError: no images"


def test_lines_are_numbered_as_an_editor_numbers_them():
    assert only("  1%|\r  2%|\r  3%|\nready\n" + PLAIN).line == 3


def test_exceptions_raised_while_handling_one_another_are_one_chain_the_cause_first():
    for marker in (
        "During handling of the above exception, another exception occurred:",
        "The above exception was the direct cause of the following exception:",
    ):
        first, second = read(f"{PLAIN}\n{marker}\n\n{PLAIN.replace('no images', 'gave up')}")
        assert isinstance(first, Failure) and isinstance(second, Failure)
        assert (first.message, second.message, first.chain == second.chain) == ("no images", "gave up", True)
    first, second = read(f"{PLAIN}\n{PLAIN}")
    assert first.chain != second.chain


def test_what_a_worker_raised_counts_and_not_that_it_was_raised_again():
    failure = only("RuntimeError: Caught TypeError in DataLoader worker process 0.\nOriginal " + PLAIN)
    assert failure.text == "TypeError: no images"


def test_a_message_may_go_on_over_several_lines():
    failure = only(PLAIN.rstrip() + "\n\tsize mismatch for a\n\tsize mismatch for b\n  0%|  | 0/1\n")
    assert failure.message.splitlines() == ["no images", "\tsize mismatch for a", "\tsize mismatch for b"]


def test_a_traceback_without_its_end_is_said_to_be_cut():
    answer = diagnose(io.BytesIO(PLAIN.rpartition("TypeError")[0].encode()))
    assert "its last line, which names the exception, is missing" in answer.unrecognised[0].reason


def test_of_a_chain_the_root_cause_is_named_and_the_rest_is_not_called_unknown():
    known = PLAIN.replace("no images", "X.forward() got an unexpected keyword argument 'pixel_values'")
    follows = PLAIN.replace("TypeError: no images", "RuntimeError: training failed")
    marker = "\nThe above exception was the direct cause of the following exception:\n\n"
    answer = diagnose(io.BytesIO((known + marker + follows).encode()))
    assert [p.name for p in answer.pointers] == ["unaccepted_batch_key"]
    assert answer.unrecognised == ()


def test_what_a_launcher_raises_afterwards_is_no_second_message():
    launcher = PLAIN.replace("TypeError: no images", "subprocess.CalledProcessError: Command '[...]' returned 1.")
    answer = diagnose(io.BytesIO((PLAIN + "\n" + launcher).encode()))
    assert [u.text for u in answer.unrecognised] == ["TypeError: no images"]


def test_the_same_exception_many_times_is_counted_and_shown_once():
    answer = diagnose(io.BytesIO((PLAIN.replace("no images", "CUDA out of memory") + "\n").encode() * 7))
    assert [(r.times, r.line) for r in answer.recognised] == [(7, 1)]


def test_a_log_of_any_length_is_read_in_little_memory():
    class Endless(io.RawIOBase):
        """Forty megabytes of numbered lines that are never there all at once."""

        def __init__(self):
            self.left = 200

        def read(self, size=-1):
            self.left -= 1
            lines = (f"step {self.left}-{number} {'.' * 1000}\n" for number in range(200))
            return "".join(lines).encode() if self.left > 0 else b""

    tracemalloc.start()
    diagnose(Endless())  # type: ignore[arg-type]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8_000_000


@pytest.mark.slow
def test_one_endless_line_is_read_too():
    assert diagnose(io.BytesIO(b"x" * 3_000_000)).unrecognised[0].text.startswith("xxx")
