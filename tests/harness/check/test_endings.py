"""How a child ended that gave no answer: whatever the reason, something was started and nothing is known of it."""

from __future__ import annotations

import pytest

from preflight_ocr.harness.check.endings import tell
from preflight_ocr.harness.isolation import ChildRaised, Died, Frame
from preflight_ocr.harness.judging.findings import Kept
from preflight_ocr.harness.verdict.contracts import derive, judge_all
from preflight_ocr.harness.verdict.decision import find_dead
from preflight_ocr.harness.verdict.report import Report
from tests.specimens import HEALTHY, altered

OURS = __import__("preflight_ocr.harness.check.endings", fromlist=["x"]).__file__


def _raised(kind: str, message: str, file: str) -> ChildRaised:
    frames = (Frame(file=file, line=1, function="load", code="x"),)
    return ChildRaised(type=kind, message=message, traceback="", frames=frames, output="", seconds=1.0)


@pytest.mark.parametrize(
    ("kind", "message", "said"),
    [
        ("MemoryError", "", "ran out of the memory"),
        ("numpy._core._exceptions._ArrayMemoryError", "Unable to allocate 30 GiB", "ran out of the memory"),
        (
            "RuntimeError",
            "[enforce fail] . DefaultCPUAllocator: can't allocate memory: you tried",
            "ran out of the memory",
        ),
        ("ValueError", "no such class", "ValueError: no such class"),
        ("SystemExit", "2", "SystemExit: 2"),
    ],
)
@pytest.mark.parametrize("file", [OURS, "/home/user/model.py"])
@pytest.mark.parametrize("section", ["learning", "forward", "collator", "memory", "processor"])
def test_a_child_that_raised_or_ran_out_of_memory_is_never_clear(kind, message, said, file, section):
    unknown = tell(_raised(kind, message, file))
    assert said in unknown.reason and unknown.died
    facts = altered(HEALTHY, {section: unknown})
    assert find_dead(facts) == unknown
    judged = judge_all(derive(facts), facts)
    report = Report.build(facts, judged, config="a.yaml", level="ran")
    assert report.verdict == "blind" and report.exit_code == 3
    touched = [j for j in judged if any(n.partition(".")[0] == section for n in j.contract.diagnosis.needs)]
    assert not [j.contract.id for j in touched if isinstance(j.outcome, Kept)]


def test_running_out_of_memory_in_a_line_of_ours_is_no_failure_of_ours():
    assert not tell(_raised("MemoryError", "", OURS)).failed
    assert tell(_raised("IndexError", "tuple index out of range", OURS)).failed


def test_a_process_that_died_says_so():
    unknown = tell(Died(reason="was ended by SIGKILL", output="", seconds=1.0))
    assert unknown.cause == "foreign code died" and "SIGKILL" in unknown.reason
