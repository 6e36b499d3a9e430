"""The engine's own honesty: what ended how is never told better than it was."""

from __future__ import annotations

from pathlib import Path

import pytest

import probes
from fixtures.specimens import HEALTHY, altered
from harness.check import _is_ours
from harness.contracts import derive, judge
from harness.facts import Unknown
from harness.findings import Crashed, Skipped
from harness.isolation import Frame, Raised

OURS = str(Path(probes.__file__).with_name("forward.py"))


def raised(kind: str, file: str) -> Raised:
    frames = (Frame(file=file, line=1, function="look", code="x"),)
    return Raised(type=kind, message="", traceback="", frames=frames, output="", seconds=0.0)


@pytest.mark.parametrize("kind", ["NameError", "AttributeError", "TypeError"])
def test_a_slip_in_a_probe_is_our_own_failure(kind):
    assert _is_ours(raised(kind, OURS))


@pytest.mark.parametrize(("kind", "file"), [("ValueError", OURS), ("harness.training.model.LoadError", OURS)])
def test_what_a_probe_says_on_purpose_is_not(kind, file):
    assert not _is_ours(raised(kind, file))


def test_what_the_users_code_raises_is_not():
    assert not _is_ours(raised("TypeError", "/home/somebody/their_collator.py"))


def test_a_broken_probe_ends_as_crashed_and_a_missing_fact_as_skipped():
    for failed, kind in ((True, Crashed), (False, Skipped)):
        facts = altered(HEALTHY, {"forward": Unknown(reason="why", failed=failed)})
        outcomes = {type(judge(c, facts)) for c in derive(facts) if "forward" in c.diagnosis.needs}
        assert outcomes == {kind}
