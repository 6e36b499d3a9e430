"""Which faults are planted in one project."""

from __future__ import annotations

from itertools import combinations

import pytest

from preflight_ocr.fixtures.corpus.cases import find_cases
from preflight_ocr.fixtures.corpus.models import find_miniatures
from preflight_ocr.harness.commands.corpus.bundles import LARGEST, bundle, get_along
from preflight_ocr.harness.commands.corpus.run import (
    choose_dry_runs,
    list_trials,
    run_corpus,
    share_out,
)
from preflight_ocr.harness.commands.corpus.trials import Trial, is_pattern
from preflight_ocr.harness.verdict.contracts import derive, judge_all
from preflight_ocr.harness.verdict.report import Report
from tests.specimens import HEALTHY
from tests.specimens.copied_labels import SICK

MODELS = tuple(model.name for model in find_miniatures())


def list_faults(model: str) -> list[str]:
    return [case.fault for case in find_cases() if case.model == model]


def report_on(facts: object) -> Report:
    return Report.build(facts, judge_all(derive(facts), facts), config="project.yaml", level="ran", timings={})


@pytest.mark.parametrize("model", MODELS)
def test_every_fault_of_a_model_is_in_one_bundle_with_faults_that_it_gets_along_with(model):
    bundles = list(bundle(list_faults(model), model))
    assert sorted(fault for one in bundles for fault in one) == sorted(list_faults(model))
    assert all(len(one) <= LARGEST for one in bundles)
    assert all(get_along(*pair, model) for one in bundles for pair in combinations(one, 2))


def test_faults_with_one_name_for_their_cause_are_not_planted_together():
    """Both are a missing required input, so that one finding could not say whose it is."""
    assert not get_along("chain-07", "chain-09", "deepseek_ocr")


def test_a_finding_goes_to_the_fault_that_it_was_expected_of():
    trials = tuple(Trial(faults=(fault,), model="deepseek_ocr") for fault in ("chain-16", "chain-25"))
    copied, memory = share_out(trials, report_on(SICK), (), seconds=3.0, reused=())
    assert [one.name for one in copied.found] == ["copied_labels"] and copied.is_exact
    assert memory.missed == ("memory_over_budget",) and not memory.is_exact
    assert (copied.beside, copied.seconds) == (("chain-25",), 1.5)


def test_a_finding_that_nobody_planted_is_extra_in_every_trial():
    trials = tuple(Trial(faults=(fault,), model="deepseek_ocr") for fault in ("chain-25", "web-10"))
    assert all(t.extra == ("copied_labels",) for t in share_out(trials, report_on(SICK), (), seconds=1, reused=()))
    (healthy,) = share_out((Trial(faults=(), model="deepseek_ocr"),), report_on(HEALTHY), (), seconds=1, reused=())
    assert healthy.is_exact


@pytest.mark.slow
def test_a_bundle_that_is_mixed_up_is_dissolved_and_each_fault_tried_alone(monkeypatch):
    """web-12 leaves no adapter, so that beside it nothing tells whether one would be trained."""
    monkeypatch.setattr("preflight_ocr.harness.commands.corpus.run.bundle", lambda faults, model: iter([tuple(faults)]))
    run = run_corpus(models=("llava",), faults=("web-10", "web-12"), dry_run=False, jobs=1)
    assert [(t.faults, t.is_exact, t.beside) for t in run.trials] == [
        (("web-10",), True, ()),
        (("web-12",), True, ()),
    ]


def test_trainer_tries_each_fault_somewhere_and_every_healthy_model():
    trials = list(list_trials())
    chosen = choose_dry_runs(trials)
    planted = [trial for trial in chosen if not any(map(is_pattern, trial.faults))]  # a pattern is healthy, or nearly
    faults = {t.faults for t in trials if t.obstacle is None and not any(map(is_pattern, t.faults))}
    assert {t.faults for t in planted} == faults | {t.faults for t in planted if t.obstacle}
    assert {t.model for t in chosen if not t.faults} == {t.model for t in trials if not t.faults}
