"""Every sample that once broke a promise, tried again: `tests/replays` holds what a search has found, folder by folder."""

from __future__ import annotations

import pytest

from preflight_ocr.fixtures.corpus.models import find_miniatures
from preflight_ocr.harness.commands.fuzz.samples import read_kept
from preflight_ocr.harness.commands.fuzz.search import replay
from tests.support.places import ROOT

REPLAYS = ROOT / "tests" / "replays"
NATIVE = tuple(model.name for model in find_miniatures() if model.is_native)
CASES = [
    pytest.param(folder, name, id=f"{folder.name}-{name}")
    for folder in sorted(path.parent for path in REPLAYS.glob("*/expectation.json"))
    for name in (read_kept(folder)[0].models or NATIVE)
]


@pytest.mark.parametrize(("folder", "name"), CASES)
def test_a_kept_sample_breaks_no_promise_any_more(open_bench, folder, name):
    breaches = replay(open_bench(name), folder)
    told = "\n".join(f"{breach.promise}: {breach.seen}" for breach in breaches)
    assert not breaches, f"{folder} on {name}:\n{told}"


def test_there_are_samples_to_replay():
    assert len(CASES) > 20
