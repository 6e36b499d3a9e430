"""The laws by themselves: what they say of a project with every other diagnosis switched off, and what counts as found."""

from __future__ import annotations

import importlib
from typing import get_args

import msgspec
import pytest

from docs.render.measurements import render_laws
from preflight_ocr.fixtures.corpus import find_faults
from preflight_ocr.fixtures.corpus.models import find_miniature
from preflight_ocr.harness.commands.corpus.laws import (
    add_consequences,
    choose_lone,
    judge_laws,
    keep_expected,
    list_law_codes,
    summarise_laws,
    tabulate_alarms,
    tabulate_by_laws,
    tabulate_laws,
    tabulate_reports,
    tally_faults,
)
from preflight_ocr.harness.commands.corpus.run import attempt, list_trials, share_laws
from preflight_ocr.harness.commands.corpus.table import read_all_results, read_results, write_results
from preflight_ocr.harness.commands.corpus.trials import Laws, Named, Run, Trial
from preflight_ocr.harness.diagnoses import catalogue
from preflight_ocr.harness.facts import Unknown
from preflight_ocr.harness.judging.findings import Crashed
from preflight_ocr.harness.judging.laws import LAWS, LawName
from preflight_ocr.harness.verdict.contracts import derive, judge_all
from tests.specimens import HEALTHY, altered
from tests.specimens.copied_labels import SICK as COPIED
from tests.specimens.unfit_learning_rate import SICK as UNFIT

OF_LAWS = [module for module in catalogue() if module.DIAGNOSIS.law is not None]
RECIPE, GENERATION, IDS = "the recipe moves the model", "training equals generation", "ids agree"
RATE = {RECIPE: ("unfit_learning_rate",)}


def make_run(*trials: Trial, release: str = "5.23.0") -> Run:
    return Run(versions={"transformers": release}, jobs=1, seconds=1.0, trials=trials)


def try_fault(fault: str, model: str, broken: dict[str, tuple[str, ...]], *, alone: bool = True) -> Trial:
    return Trial(faults=(fault,), model=model, laws=Laws(alone=alone, broken=broken))


def test_every_law_is_described_and_has_a_diagnosis_that_states_it():
    assert set(LAWS) == set(get_args(LawName)) == {module.DIAGNOSIS.law for module in OF_LAWS}
    assert list_law_codes() == tuple(module.DIAGNOSIS.code for module in OF_LAWS)


def test_a_healthy_project_breaks_no_law():
    assert judge_laws(HEALTHY).broken == {}


@pytest.mark.parametrize("module", OF_LAWS, ids=lambda module: module.DIAGNOSIS.name)
def test_a_law_is_broken_by_what_its_diagnosis_is_for(module):
    sick = importlib.import_module(f"tests.specimens.{module.DIAGNOSIS.name}").SICK
    assert module.DIAGNOSIS.name in judge_laws(sick).broken[module.DIAGNOSIS.law]


def test_a_diagnosis_of_a_single_defect_is_switched_off():
    assert "LBL001" not in list_law_codes()
    assert judge_laws(COPIED).broken == {}


def test_what_the_installed_releases_deserve_does_not_count():
    assert judge_laws(UNFIT).broken == RATE
    assert judge_laws(UNFIT, upstream=("unfit_learning_rate",)).broken == {}


def test_neither_does_what_the_whole_catalogue_explains_by_that_alone():
    (judgement,) = [j for j in judge_all(derive(UNFIT), UNFIT) if j.contract.diagnosis.name == "unfit_learning_rate"]
    explained = [
        msgspec.structs.replace(judgement, outcome=msgspec.structs.replace(judgement.outcome, explained_by=codes))
        for codes in ((), ("FWD014",), ("FWD014", "COL016"))
    ]
    found = [add_consequences(("padding_changes_row",), [one]) - {"padding_changes_row"} for one in explained]
    assert found == [frozenset(), {"unfit_learning_rate"}, frozenset()]


def test_a_law_of_which_nothing_could_be_judged_is_said_to_be_unseen():
    assert RECIPE not in judge_laws(HEALTHY).unseen
    lost = altered(HEALTHY, {"learning": Unknown(reason="it was stopped")})
    seen = judge_laws(lost)
    assert RECIPE in seen.unseen and "labels are writable" not in seen.unseen and seen.broken == {}


def test_a_contract_that_crashes_is_neither_found_nor_silent(monkeypatch):
    monkeypatch.setattr("preflight_ocr.harness.verdict.contracts.judge", lambda contract, facts: Crashed("KeyError: 1"))
    with pytest.raises(RuntimeError, match="crashed: KeyError"):
        judge_laws(HEALTHY)


def test_beside_others_a_law_counts_only_for_the_fault_that_it_has_to_name():
    laws = Laws(alone=True, broken={**RATE, GENERATION: ("training_differs_from_generation",)})
    kept = keep_expected(laws, ("unfit_learning_rate", "copied_labels"))
    assert (kept.broken, kept.alone) == (RATE, False)
    rate, copied = (Trial(faults=(f,), model="llava", beside=("x",)) for f in ("rep-13", "chain-16"))
    assert [trial.laws and trial.laws.broken for trial in share_laws((rate, copied), laws)] == [RATE, {}]


def test_alone_every_law_counts_and_a_group_is_not_asked():
    laws = Laws(alone=True, broken=RATE)
    alone, group = Trial(faults=("chain-16",), model="llava"), Trial(faults=("chain-16", "rep-13"), model="llava")
    assert [trial.laws for trial in share_laws((alone, group), laws)] == [laws, None]


def test_each_fault_that_can_be_planted_is_tried_alone_in_one_model_and_a_native_one_where_there_is_one():
    trials = list(list_trials())
    planted = {t.faults for t in trials if t.obstacle is None} & {(fault.id,) for fault in find_faults()}
    chosen = choose_lone(trials)
    assert sorted(trial.faults for trial in chosen) == sorted(planted)
    native = {t.faults for t in trials if t.obstacle is None and find_miniature(t.model).is_native}
    assert all(find_miniature(t.model).is_native == (t.faults in native) for t in chosen)


def test_a_law_that_the_healthy_project_of_the_model_breaks_finds_nothing_in_that_model():
    alarm = Trial(faults=(), model="llava", laws=Laws(alone=True, broken=RATE))
    found, masked = (try_fault("rep-13", model, RATE) for model in ("trocr", "llava"))
    (tally,) = tally_faults([make_run(alarm, found, masked)])
    assert (tally.found, tally.models) == ({RECIPE: ("trocr",)}, ("trocr", "llava"))
    (tally,) = tally_faults(
        [make_run(alarm), make_run(masked, release="4.46.3")]
    )  # another release, another healthy one
    assert tally.found == {RECIPE: ("llava",)}
    assert list(tabulate_alarms([make_run(alarm)])) == [("llava", "-", RECIPE, "unfit_learning_rate", "5.23.0")]


def test_the_figures_count_reports_faults_and_false_alarms():
    runs = [
        make_run(
            Trial(faults=(), model="trocr", laws=Laws(alone=True)),
            try_fault("rep-08", "trocr", {}),
            try_fault("rep-08-optim", "trocr", {"rehearsal": ("failing_start",)}),
            try_fault("rep-16", "trocr", {}),
            try_fault("chain-16", "trocr", {}),
            try_fault("for-01", "trocr", {GENERATION: ("departing_cache",)}),
        )
    ]
    reports, faults, healthy, patterns = summarise_laws(runs)
    assert reports.startswith("the laws alone find 1 of 2 reports") and reports.endswith("not rep-16")
    assert faults == "the laws alone find 1 of all 4 planted faults"
    assert healthy == "0 of 1 healthy models break a law"
    assert patterns == "1 of 1 patterns of other people's code that are healthy break a law"
    rows = {row[0]: row for row in tabulate_laws(runs)}
    assert list(rows) == list(LAWS)
    assert rows["rehearsal"][3:] == ("1", "1", "0", "0 of 4") and rows[GENERATION][5] == "1"
    assert [row[0] for row in tabulate_reports(runs)] == ["rep-08", "rep-08-optim", "rep-16"]
    assert {row[0]: row[3] for row in tabulate_by_laws(runs)}["chain-16"] == "none"


def test_a_run_without_laws_has_no_figures_and_a_page_that_says_so(monkeypatch):
    old = make_run(Trial(faults=("chain-16",), model="llava", found=(Named(code="LBL001", name="x", basis="ran"),)))
    assert list(summarise_laws([old])) == []
    monkeypatch.setattr("docs.render.measurements.read_all_results", lambda: (old,))
    assert "the committed run is older than this page" in render_laws()


def test_what_the_laws_say_survives_its_file_and_parts_of_other_releases_are_read_beside_it(tmp_path):
    whole, part = make_run(try_fault("rep-13", "llava", RATE)), make_run(try_fault("rep-11", "llava", {}))
    write_results(whole, tmp_path / "results.json")
    write_results(part, tmp_path / "results-transformers-4.46.3.json")
    assert read_results(tmp_path / "results.json") == whole
    assert read_all_results(tmp_path) == (whole, part)


def test_a_fault_that_is_only_read_is_run_for_the_laws(sandbox):
    """The schedule's name is refused by reading; the rehearsal, which knows no list, fails to build it."""
    trial = Trial(faults=("rep-08-schedule",), model="deepseek_ocr")
    (asked,) = attempt((trial,), (False,), lone=(True,), sandbox=sandbox).trials
    assert asked.is_exact and asked.laws is not None and asked.laws.alone
    assert {"refused_value", "failing_start"} <= set(asked.laws.broken["rehearsal"])
    (left,) = attempt((trial,), (False,), sandbox=sandbox).trials
    assert (left.is_exact, left.laws) == (True, None)


@pytest.mark.slow
def test_faults_that_share_a_project_are_planted_apart_for_the_laws(sandbox):
    trials = tuple(Trial(faults=(fault,), model="trocr") for fault in ("rep-13", "rep-12"))
    rate, logits = attempt(trials, (False, False), lone=(True, False), sandbox=sandbox).trials
    assert rate.beside == ("rep-12",) and rate.laws == Laws(alone=True, broken=RATE, unseen=rate.laws.unseen)
    assert logits.laws is not None and (logits.laws.alone, set(logits.laws.broken)) == (False, {"rehearsal"})
