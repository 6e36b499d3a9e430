"""Every fault of the corpus, planted in a project and found: by its root cause, by nothing else, alone and with others.

Each fault is planted in one model: the first of three (two with code of their own, one of transformers') that can have it,
else the first of the others, in bundles as `preflight corpus` makes them. A bundle of each of the three is quick enough for
every run; the others have a command of their own, `pytest -m each_fault tests/corpus`. The other models, and each fault
alone, are slow.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from itertools import combinations

import pytest

from preflight_ocr.fixtures.corpus import Fault, find_faults
from preflight_ocr.fixtures.corpus.cases import FIRST, Case, find_cases
from preflight_ocr.fixtures.corpus.models import find_miniatures, find_model_obstacle
from preflight_ocr.fixtures.corpus.plant import clash, write_project
from preflight_ocr.fixtures.corpus.upstream import find_upstream_faults
from preflight_ocr.harness.check.check import check
from preflight_ocr.harness.commands.corpus.bundles import bundle, needs_the_whole_run
from preflight_ocr.harness.commands.corpus.trials import Trial
from preflight_ocr.harness.config.config import load_config
from preflight_ocr.harness.judging.findings import Crashed

FAST = (FIRST, "dots_ocr", "qwen2_vl")
FAULTS = {fault.id: fault for fault in find_faults()}
PLANTABLE = [case for case in find_cases() if case.obstacle is None]
MODELS = [model.name for model in find_miniatures()]
FIVE = ("chain-13", "chain-14", "chain-15", "chain-16", "chain-17")


def rank(case: Case) -> int:
    """The place of a case's model among the few that come first; the cheapest of them where the run goes to its end."""
    few = FAST[::-1] if needs_the_whole_run(FAULTS[case.fault]) else FAST
    return few.index(case.model) if case.model in few else len(few)


def bundle_by_model(cases: Iterable[Case]) -> list[tuple[str, tuple[str, ...]]]:
    """(model, faults that are planted in one project) for all of these cases."""
    cases = list(cases)
    return [
        (model, faults)
        for model in MODELS
        for faults in bundle([case.fault for case in cases if case.model == model], model)
    ]


FIRST_CASES: dict[str, Case] = {}
for each in sorted(PLANTABLE, key=rank):
    FIRST_CASES.setdefault(each.fault, each)
SAMPLE = bundle_by_model(FIRST_CASES.values())
"""Each fault once."""
QUICK = ("chain-08", "chain-13", "own-34", "dots-04")
"""Their bundles are planted in every run of the tests."""


def choose_marks(model: str, faults: tuple[str, ...]) -> list[pytest.MarkDecorator]:
    if (model, faults) not in SAMPLE:
        return [pytest.mark.slow]
    return [] if set(faults) & set(QUICK) else [pytest.mark.slow, pytest.mark.each_fault]


PARAMETERS = [
    pytest.param(model, faults, id=f"{model}-{'+'.join(faults)}", marks=choose_marks(model, faults))
    for model, faults in dict.fromkeys((*SAMPLE, *bundle_by_model(PLANTABLE)))
]


def choose_groups(count: int, seed: int) -> list[tuple[Case, ...]]:
    """Half pairs, half triples of faults in one model that do not take each other's place; models take turns."""
    chosen = random.Random(seed)
    models = sorted({case.model for case in PLANTABLE})
    groups: list[tuple[Case, ...]] = []
    while len(groups) < count:
        here = [case for case in PLANTABLE if case.model == models[len(groups) % len(models)]]
        group = tuple(sorted(chosen.sample(here, 2 if len(groups) % 2 else 3), key=lambda case: case.fault))
        if not any(clash(FAULTS[left.fault], FAULTS[right.fault]) for left, right in combinations(group, 2)):
            groups.append(group)
    return groups


def join_ids(cases: tuple[Case, ...]) -> str:
    return f"{cases[0].model}-{'+'.join(case.fault for case in cases)}"


def hold(trials: Iterable[Trial]) -> None:
    """Each trial found what was planted and nothing else, and says truly how it is known."""
    for trial in trials:
        assert trial.is_exact, f"{trial.faults} in {trial.model}: missed {trial.missed}, extra {trial.extra}"
        # What reading alone finds must not claim to have run anything, and nothing here ran on an accelerator.
        is_read = all(FAULTS[fault].level == "read" for fault in trial.faults)
        assert {named.basis for named in trial.found} <= ({"read"} if is_read else {"read", "ran"})


@pytest.mark.parametrize("model", [pytest.param(m, marks=() if m in FAST else pytest.mark.slow) for m in MODELS])
def test_a_healthy_project_has_no_finding_that_the_installed_releases_do_not_deserve(model, check_healthy):
    if obstacle := find_model_obstacle(model):
        pytest.skip(obstacle)
    trial, _ = check_healthy(model)
    assert (trial.extra, trial.upstream) == ((), find_upstream_faults(model))


@pytest.mark.parametrize(("model", "faults"), PARAMETERS)
def test_planted_faults_are_found_as_exactly_their_root_causes(model, faults, plant):
    hold(plant(model, *((fault,) for fault in faults)))


def test_every_fault_that_can_be_planted_here_is_planted_by_a_test_that_each_change_runs():
    daily = [p for p in PARAMETERS if not p.marks or pytest.mark.each_fault in p.marks]
    planted = {fault for parameter in daily for fault in parameter.values[1]}
    assert planted == {case.fault for case in PLANTABLE}
    left_out = set(FAULTS) - planted
    assert left_out == {case.fault for case in find_cases() if case.obstacle} - planted, "a fault without any case"


@pytest.mark.slow
@pytest.mark.parametrize(
    "case", [c for c in PLANTABLE if c.model in FAST], ids=lambda case: f"{case.model}-{case.fault}"
)
def test_a_fault_planted_alone_is_found_as_exactly_its_root_causes(case, plant):
    hold(plant(case.model, (case.fault,)))


def test_an_auto_class_that_exists_is_as_unregistered_as_one_that_does_not(tmp_path):
    project = write_project(tmp_path, ["chain-01"])
    loader = tmp_path / "unregistered_auto_class.py"
    source = loader.read_text(encoding="utf-8")
    loader.write_text(source.replace("AutoModelForVision2Seq", "AutoModelForCausalLM"), encoding="utf-8")
    findings = check(load_config(project), level="read", trust=True).findings
    assert [finding.name for finding in findings] == ["unregistered_auto_class"]
    assert "AutoModelForCausalLM" in findings[0].summary


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "faults"), [p for p in PARAMETERS if all(FAULTS[fault].level == "read" for fault in p.values[1])]
)
def test_running_adds_no_second_cause_to_what_reading_found(model, faults, tmp_path, sandbox):
    config = load_config(write_project(tmp_path, faults, model=model))
    report = check(config, level="ran", trust=True, sandbox=sandbox)
    assert not [judgement for judgement in report.judgements if isinstance(judgement.outcome, Crashed)]
    wanted = {name for case in PLANTABLE if case.model == model and case.fault in faults for name in case.expects}
    found = {finding.name for finding in report.findings}
    assert found - (set(find_upstream_faults(model)) - wanted) == wanted


def test_five_faults_at_once_are_five_root_causes_and_no_exception_text(plant):
    (trial,) = plant(FIRST, FIVE)
    hold([trial])
    names = [named.name for named in trial.found]
    assert sorted(names) == sorted(name for fault in FIVE for name in FAULTS[fault].expects)
    assert len(names) == 5 and not any(name.startswith("failing_") for name in names)


@pytest.mark.slow
@pytest.mark.parametrize("cases", choose_groups(48, seed=20), ids=join_ids)
def test_faults_planted_together_are_all_found(cases, plant):
    hold(plant(cases[0].model, tuple(case.fault for case in cases)))


@pytest.mark.gpu
@pytest.mark.parametrize("fault", [f for f in FAULTS.values() if f.level == "gpu"], ids=lambda fault: fault.id)
def test_a_fault_of_the_accelerator_is_left_to_its_machine(fault: Fault):
    pytest.skip(f"{fault.id} is not planted: {fault.unplantable}")
