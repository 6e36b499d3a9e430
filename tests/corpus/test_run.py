"""The runner of the corpus: what it plants, what it counts, and that a miss cannot look like anything else."""

from __future__ import annotations

import msgspec
import pytest

from preflight_ocr.harness.commands.corpus.run import draw_groups, list_trials, run_corpus
from preflight_ocr.harness.commands.corpus.table import describe, main, read_results, summarise, write_results
from preflight_ocr.harness.commands.corpus.trials import DryRun, Named, Run, Trial

FOUND = Named(code="LBL001", name="copied_labels", basis="ran")


def make_run(*trials: Trial) -> Run:
    return Run(versions={"torch": "2.13.0"}, jobs=2, seconds=10.0, trials=trials)


@pytest.fixture(scope="module")
def run() -> Run:
    return run_corpus(models=("llava",), faults=("web-04", "web-15"), jobs=1)


@pytest.mark.slow
def test_what_was_planted_is_found_and_timed(run):
    assert [(t.faults, t.is_exact) for t in run.trials] == [(("web-04",), True), (("web-15",), True)]
    assert all(trial.seconds > 0 for trial in run.trials)


@pytest.mark.slow
def test_a_dry_run_says_whether_trainer_raised(run):
    outcomes = {trial.faults[0]: trial.dry_run.outcome for trial in run.trials}
    assert outcomes == {"web-04": "silent", "web-15": "raised"}


@pytest.mark.slow
def test_a_run_survives_its_file(run, tmp_path):
    write_results(run, tmp_path / "run.json")
    assert read_results(tmp_path / "run.json") == run


def test_a_healthy_model_is_tried_where_no_fault_is_named():
    trials = list(list_trials(models=("llava",)))
    assert trials[0].faults == () and len(trials) > 10
    assert {trial.model for trial in trials} == {"llava"}


def test_where_faults_are_named_healthy_models_are_tried_only_if_asked_for():
    assert [t.faults for t in list_trials(models=("llava",), faults=("rep-13",))] == [("rep-13",)]
    assert [t.faults for t in list_trials(("llava",), ("rep-13",), healthy=True)] == [(), ("rep-13",)]


def test_the_same_seed_draws_the_same_groups_and_another_seed_others():
    groups = [trial.faults for trial in draw_groups(6, seed=3)]
    assert groups == [trial.faults for trial in draw_groups(6, seed=3)]
    assert groups != [trial.faults for trial in draw_groups(6, seed=4)]
    assert all(2 <= len(group) <= 3 for group in groups)


def test_a_case_that_cannot_be_had_is_shown_with_its_reason_and_counts_as_nothing():
    absent = Trial(faults=("chain-22",), model="deepseek_ocr", obstacle="needs an accelerator")
    summary = "\n".join(summarise(make_run(absent)))
    assert "0 of 0 planted faults" in summary and "1 cases need packages or releases that are not installed" in summary
    assert describe(absent).endswith("not planted, needs an accelerator")


def test_a_missed_fault_and_a_false_alarm_are_not_exact_and_say_so():
    missed = Trial(faults=("chain-16",), model="llava", missed=("copied_labels",), seconds=1.0)
    alarm = Trial(faults=(), model="llava", extra=("flat_loss",), seconds=1.0, dry_run=DryRun(outcome="silent"))
    found = Trial(faults=("chain-16",), model="dots_ocr", found=(FOUND,), seconds=1.0)
    assert [trial.is_exact for trial in (missed, alarm, found)] == [False, False, True]
    assert "MISSED copied_labels" in describe(missed) and "EXTRA flat_loss" in describe(alarm)
    summary = list(summarise(make_run(missed, alarm, found)))
    assert summary[0].startswith("1 of 2 planted faults") and summary[1].startswith("1 of 1 healthy models")


def test_the_exit_code_is_1_where_anything_was_not_exact(monkeypatch):
    sick = make_run(Trial(faults=("chain-16",), model="llava", missed=("copied_labels",)))
    fine = make_run(Trial(faults=("chain-16",), model="llava", found=(FOUND,)))
    for run, code in ((sick, 1), (fine, 0)):
        monkeypatch.setattr("preflight_ocr.harness.commands.corpus.table.run_corpus", lambda run=run, **given: run)
        assert main(["llava"], write=lambda line: None) == code


def test_a_broken_results_file_is_an_error_and_not_an_empty_table(tmp_path):
    path = tmp_path / "results.json"
    path.write_text('{"versions": {}}', encoding="utf-8")
    with pytest.raises(msgspec.ValidationError, match="jobs"):
        read_results(path)
