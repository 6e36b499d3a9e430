"""The committed measurement of memory: what it holds, and that its page shows it."""

from __future__ import annotations

import re

from docs.measure import memory as table
from tests.support.places import ROOT

TUNED = 0.05


def test_the_committed_predictions_are_within_what_is_promised():
    found = table.read_results()
    assert {case.model for case in found.cases} == set(table.MODELS)
    assert max(abs(case.error) for case in found.cases) < TUNED
    for model in table.MODELS:
        cases = [case for case in found.cases if case.model == model]
        assert {case.batch_size for case in cases} == set(table.BATCHES)
        assert {case.checkpointing for case in cases} == {True, False}


def test_what_a_model_refuses_is_written_down_with_the_reason():
    assert all(re.match(r"\w+, [\w ]+: \w+: .", reason) for reason in table.read_results().refused)


def test_its_page_shows_the_committed_measurement():
    page = (ROOT / "docs" / "measured" / "memory.md").read_text(encoding="utf-8")
    assert table.render() in page
    assert "No accelerator was available" in page
