"""The engine's own honesty: what ended how is never told better than it was."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from preflight_ocr import probes
from preflight_ocr.fixtures.corpus.plant import write_project
from preflight_ocr.harness.check.asked import Asked
from preflight_ocr.harness.check.check import judge as judge_seen
from preflight_ocr.harness.check.check import look
from preflight_ocr.harness.check.children import CHILDREN, RAN, Known
from preflight_ocr.harness.check.endings import _is_our_fault, tell
from preflight_ocr.harness.check.sandboxes import open_sandbox
from preflight_ocr.harness.config.config import load_config
from preflight_ocr.harness.facts import Site, Unknown
from preflight_ocr.harness.isolation import ChildRaised, Frame
from preflight_ocr.harness.judging.findings import Crashed, NotApplicable, Skipped
from preflight_ocr.harness.verdict.contracts import derive, judge
from tests.specimens import HEALTHY, altered

ASKED = Asked(trust=True)
NAMES = tuple(child.name for child in CHILDREN)
OURS = str(Path(probes.__file__).with_name("forward") / "forward.py")


def raised(kind: str, file: str) -> ChildRaised:
    frames = (Frame(file=file, line=1, function="look", code="x"),)
    return ChildRaised(type=kind, message="", traceback="", frames=frames, output="", seconds=0.0)


@pytest.mark.parametrize("kind", ["NameError", "AttributeError", "TypeError"])
def test_a_slip_in_a_probe_is_our_own_failure(kind):
    assert _is_our_fault(raised(kind, OURS))


@pytest.mark.parametrize(
    ("kind", "file"), [("ValueError", OURS), ("preflight_ocr.harness.training.model.LoadError", OURS)]
)
def test_what_a_probe_says_on_purpose_is_not(kind, file):
    assert not _is_our_fault(raised(kind, file))


def test_what_the_users_code_raises_is_not():
    assert not _is_our_fault(raised("TypeError", "/home/somebody/their_collator.py"))


def test_a_child_that_ran_out_of_memory_did_so_by_no_slip_of_ours():
    lacking = msgspec.structs.replace(raised("RuntimeError", OURS), message="can't allocate memory: you tried 9 bytes")
    assert not tell(lacking).failed
    assert "ran out of the memory" in tell(lacking).reason
    assert tell(raised("RuntimeError", OURS)).failed


def test_a_broken_probe_ends_as_crashed_and_a_missing_fact_as_skipped():
    for failed, kind in ((True, Crashed), (False, Skipped)):
        facts = altered(
            HEALTHY, {"forward": Unknown(reason="why", cause="our own failure" if failed else "not looked at")}
        )
        outcomes = {type(judge(c, facts)) for c in derive(facts) if "forward" in c.diagnosis.needs}
        assert outcomes - {NotApplicable} == {kind}


def test_what_is_known_is_taken_over_and_no_child_is_started_for_it(tmp_path):
    config = load_config(write_project(tmp_path, ()))
    closed = open_sandbox()  # never entered: it would raise for the first child
    facts = look(config, ASKED, sandbox=closed, known=Known(facts=HEALTHY, children=NAMES)).facts
    assert [getattr(facts, name) for name in RAN] == [getattr(HEALTHY, name) for name in RAN]
    assert facts.configuration != HEALTHY.configuration  # what is only read is read each time
    with pytest.raises(RuntimeError, match="closed"):
        look(config, ASKED, sandbox=closed, known=Known(facts=HEALTHY, children=NAMES[1:]))


def test_calls_that_another_collator_made_are_not_taken_over_with_the_processor(tmp_path, sandbox):
    config = load_config(write_project(tmp_path, ()))
    site = Site(file="theirs.py", line=1, code="processor(images=page)", kind="", runs=None)
    other = altered(HEALTHY, {"processor.image_calls": (site,)})
    known = Known(facts=other, children=tuple(name for name in NAMES if name != "collator"))
    facts = look(config, ASKED, sandbox=sandbox, known=known).facts
    assert facts.processor == HEALTHY.processor


@pytest.mark.slow
def test_one_child_at_a_time_is_one_at_a_time(tmp_path, sandbox):
    config, said = load_config(write_project(tmp_path, ())), list[str]()
    seen = look(config, ASKED, sandbox=sandbox, together=1, progress=said.append)
    ran = [line.partition(": ")[2] for line in said if line.startswith("running") and " for " not in line]
    assert ran == ["learning", "reload", *NAMES[1:4]]  # what loads the adapter again waits for no other
    assert judge_seen(config, ASKED, seen).findings == ()
