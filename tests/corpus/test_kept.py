"""A run of the corpus that was stopped goes on, and only on its own ground."""

from __future__ import annotations

import pytest

from preflight_ocr.harness.commands.corpus import kept as kept_module
from preflight_ocr.harness.commands.corpus import run as run_module
from preflight_ocr.harness.commands.corpus import table
from preflight_ocr.harness.commands.corpus.kept import Kept, digest_source
from preflight_ocr.harness.commands.corpus.run import run_corpus
from preflight_ocr.harness.commands.corpus.trials import Trial

VERSIONS = {"torch": "2.13.0"}
HEALTHY = Trial(faults=(), model="llava", seconds=1.0)
FAULT = Trial(faults=("web-04",), model="llava", seconds=2.0)


def test_trials_are_there_again_and_so_is_the_time_that_they_took(tmp_path):
    path = tmp_path / "run.jsonl"
    first = Kept(path, VERSIONS)
    assert (first.trials, first.seconds) == ((), 0.0)
    first.add(HEALTHY, 3.0)
    second = Kept(path, VERSIONS)
    second.add(FAULT, 4.0)
    third = Kept(path, VERSIONS)
    assert (third.trials, third.seconds) == ((HEALTHY, FAULT), 7.0)


def test_a_line_that_was_being_written_is_left_out(tmp_path):
    path = tmp_path / "run.jsonl"
    Kept(path, VERSIONS).add(HEALTHY, 3.0)
    with path.open("ab") as file:
        file.write(b'{"after": 5.0, "trial": {"faul')
    Kept(path, VERSIONS).add(FAULT, 1.0)
    assert Kept(path, VERSIONS).trials == (HEALTHY, FAULT)


def test_a_trial_that_ended_twice_counts_as_it_ended_last(tmp_path):
    path = tmp_path / "run.jsonl"
    for seconds in (1.0, 2.0):
        Kept(path, VERSIONS).add(Trial(faults=(), model="llava", seconds=seconds), 1.0)
    assert [trial.seconds for trial in Kept(path, VERSIONS).trials] == [2.0]


def test_what_another_source_or_other_releases_found_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "run.jsonl"
    Kept(path, VERSIONS)
    with pytest.raises(ValueError, match="other releases"):
        Kept(path, {"torch": "2.14.1"})
    monkeypatch.setattr(kept_module, "digest_source", lambda: "another")
    with pytest.raises(ValueError, match="another source of Preflight"):
        Kept(path, VERSIONS)


@pytest.mark.parametrize("text", ["", "[]\n", '{"versions": 1}\n', "\xff"])
def test_a_file_of_another_kind_is_refused_and_left_alone(tmp_path, text):
    path = tmp_path / "notes.txt"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match="does not hold the trials"):
        Kept(path, VERSIONS)
    assert path.read_text(encoding="latin-1") == text


def test_the_digest_follows_a_file_s_content(tmp_path, monkeypatch):
    monkeypatch.setattr(kept_module, "HOME", tmp_path)
    for part in ("harness", "probes", "fixtures"):
        (tmp_path / part).mkdir()
    file = tmp_path / "probes" / "one.py"
    file.write_text("a = 1\n", encoding="utf-8")
    before = digest_source()
    file.write_text("a = 2\n", encoding="utf-8")
    assert digest_source() != before


@pytest.fixture
def tried(monkeypatch):
    """The trials that are really tried."""
    seen: list[Trial] = []

    def try_all(waiting, *args, progress, **named):
        for trial in waiting:
            seen.append(trial)
            progress(trial)
        return {(trial.model, trial.faults): trial for trial in waiting}

    monkeypatch.setattr(run_module, "_try_all", try_all)
    return seen


def test_known_trials_are_taken_and_the_healthy_project_of_what_is_left_comes_again(tried):
    known = [HEALTHY, FAULT]
    run = run_corpus(models=("llava",), faults=("web-04", "web-15"), healthy=True, known=known)
    assert [trial.faults for trial in tried] == [(), ("web-15",)]
    assert [trial.faults for trial in run.trials] == [(), ("web-04",), ("web-15",)]
    assert run.trials[1] == FAULT


def test_nothing_is_tried_where_all_is_known(tried):
    run = run_corpus(models=("llava",), faults=("web-04",), healthy=True, known=[HEALTHY, FAULT])
    assert not tried and run.trials == (HEALTHY, FAULT)


def test_the_table_goes_on_with_its_file(tried, tmp_path):
    words = ["llava", "--fault", "web-04", "--keep", str(tmp_path / "run.jsonl"), "--write", str(tmp_path / "run.json")]
    said: list[str] = []
    assert table.main(words, write=said.append) == 0
    assert table.main(words, write=said.append) == 0
    assert [trial.faults for trial in tried] == [("web-04",)]
    (tmp_path / "run.jsonl").write_text("no run\n", encoding="utf-8")
    assert table.main(words, write=said.append) == 2 and "does not hold the trials" in said[-1]
