"""Whatever a child answered becomes a fact, or an Unknown that says the answer had a wrong form; nothing is raised."""

from __future__ import annotations

import msgspec
import pytest

from preflight_ocr.harness.check.answers import read_answer
from preflight_ocr.harness.diagnoses import hostile_code
from preflight_ocr.harness.facts import Collator, Forward, Unknown
from tests.specimens import HEALTHY


def nest(depth: int) -> object:
    value: object = None
    for _ in range(depth):
        value = [value]
    return value


WRONG = {
    "a number": 5, "nothing": None, "a list": [], "an empty dict": {}, "text": "Kept", "bytes": b"\xff",
    "half a struct": {"collator": {"type": "Collator"}}, "a wrong tag": {"collator": {"type": "Nothing"}},
    "an Unknown of a wrong form": {"collator": {"type": "Unknown", "reason": 5}}, "a deep nest": {"collator": nest(5000)},
    "an extension": {"collator": msgspec.msgpack.Ext(1, b"x")}, "a number past all": {"collator": 2**200},
    "keys that are no text": {1: 2}, "much": {"collator": ["x" * 1000] * 1000},
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_an_answer_of_a_wrong_form_is_unknown_and_told_as_hostile_code(name: str) -> None:
    read = read_answer(WRONG[name], Collator, "collator")
    assert isinstance(read, Unknown)
    assert read.cause == "foreign code died"
    assert read.reason.startswith("foreign code changed what its process answers: a wrong form")
    assert len(read.reason) < 400
    found = list(hostile_code.examine(msgspec.structs.replace(HEALTHY, collator=read)))
    assert [finding.code for finding in found] == ["SEC003"]


def test_an_answer_of_the_right_form_is_read() -> None:
    sent = msgspec.msgpack.decode(msgspec.msgpack.encode({"collator": HEALTHY.collator, "reason": Unknown(reason="r")}))
    assert read_answer(sent, Collator, "collator") == HEALTHY.collator
    assert read_answer(sent, Forward, "reason") == Unknown(reason="r")
