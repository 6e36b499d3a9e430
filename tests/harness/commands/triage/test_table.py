"""The table points at diagnoses that exist, and says of each what the reader needs."""

from __future__ import annotations

import re

import pytest

from preflight_ocr.harness.commands.triage import losses
from preflight_ocr.harness.commands.triage.answer import point
from preflight_ocr.harness.commands.triage.recogniser import Cause, Weighed, compile_pattern
from preflight_ocr.harness.commands.triage.table import list_recognisers
from preflight_ocr.harness.diagnoses import find

CAUSES = [
    *(cause for recogniser in list_recognisers() for cause in recogniser.causes),
    *(cause for cause in vars(losses).values() if isinstance(cause, Cause)),
    *losses._BEHIND,
]
EVERY = pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.diagnosis)


def test_every_name_pointed_at_is_in_the_catalogue():
    assert {cause.diagnosis for cause in CAUSES if find(cause.diagnosis) is None and not cause.outside} == set()


def test_a_cause_that_no_check_can_see_has_a_proof_of_its_own():
    outside = [cause for cause in CAUSES if cause.outside]
    assert outside and all(cause.prove and find(cause.diagnosis) is None for cause in outside)


@EVERY
def test_a_cause_is_one_sentence_and_has_something_to_check(cause):
    assert cause.why.endswith(".")
    assert cause.check.endswith((".", "?"))
    assert not re.search(r"[.?!] [A-Z]", cause.why)


@EVERY
def test_a_cause_comes_with_the_command_that_proves_it(cause):
    (pointer,) = point([Weighed(cause, True)], config="my.yaml")
    assert "my.yaml" in pointer.prove or cause.outside or "the same command" in pointer.prove
    assert "CONFIG" not in pointer.prove
    assert (
        pointer.code is None
        or cause.prove
        or pointer.code in pointer.prove
        or pointer.prove.startswith("pytest -m gpu")
    )


def test_a_planned_diagnosis_is_named_without_a_code():
    cause = Cause(diagnosis="not_written_yet", why="A.", check="B.")
    (pointer,) = point([Weighed(cause, True)])
    assert (pointer.title, pointer.code, pointer.prove) == ("not_written_yet", None, "preflight check CONFIG")


def test_every_pattern_compiles():
    for recogniser in list_recognisers():
        for pattern in (*recogniser.patterns, recogniser.within):
            compile_pattern(pattern)
        for cause in recogniser.causes:
            for pattern in (cause.needs, cause.proof, cause.hint):
                compile_pattern(pattern)
