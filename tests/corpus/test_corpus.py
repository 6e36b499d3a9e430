"""Every fault of the corpus, planted in a project and found: by its root cause, by nothing else, alone and with others.

Three models stand for all where time matters: two with code of their own and one of transformers'. The others are slow.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from preflight_ocr.fixtures.corpus import Fault, find_faults
from preflight_ocr.fixtures.corpus.cases import FIRST, Case, find_cases
from preflight_ocr.fixtures.corpus.models import find_miniatures, find_model_obstacle
from preflight_ocr.fixtures.corpus.plant import choose_level, clash, write_project
from preflight_ocr.fixtures.corpus.upstream import find_upstream_faults
from preflight_ocr.harness.check.check import check, open_sandbox
from preflight_ocr.harness.config.config import load_config
from preflight_ocr.harness.isolation import Sandbox
from preflight_ocr.harness.judging.findings import Basis, Crashed, Finding

FAST = (FIRST, "dots_ocr", "qwen2_vl")
FAULTS = {fault.id: fault for fault in find_faults()}
PLANTABLE = [case for case in find_cases() if case.obstacle is None]
MODELS = [model.name for model in find_miniatures()]
FIVE = ("chain-13", "chain-14", "chain-15", "chain-16", "chain-17")


def mark_slow(cases: Iterable[Case]) -> list[Any]:
    """The cases as parameters; those of all but a few models are slow."""
    return [
        pytest.param(case, id=f"{case.model}-{case.fault}", marks=() if case.model in FAST else pytest.mark.slow)
        for case in cases
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


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    with open_sandbox() as opened:
        yield opened


def find_root_causes(
    directory: Path, model: str, faults: Sequence[str], sandbox: Sandbox, level: str | None = None
) -> tuple[Finding, ...]:
    """Plant the faults and check the project, at the cheapest level that can find them unless told."""
    config = load_config(write_project(directory, faults, model=model))
    level = level or choose_level([FAULTS[fault] for fault in faults])
    report = check(config, level=level, trust=True, sandbox=sandbox)
    assert not [judgement for judgement in report.judgements if isinstance(judgement.outcome, Crashed)]
    return report.findings


def name_planted(model: str, findings: Iterable[Finding], wanted: Iterable[str]) -> set[str]:
    """What was found, but for what the installed releases do wrong with this model by themselves."""
    return {finding.name for finding in findings} - (set(find_upstream_faults(model)) - set(wanted))


@pytest.mark.parametrize("model", MODELS)
def test_a_healthy_project_has_no_finding_that_the_installed_releases_do_not_deserve(model, tmp_path, sandbox):
    if obstacle := find_model_obstacle(model):
        pytest.skip(obstacle)
    findings = find_root_causes(tmp_path, model, (), sandbox, level="ran")
    assert [finding.name for finding in findings] == list(find_upstream_faults(model))


@pytest.mark.parametrize("case", mark_slow(PLANTABLE))
def test_a_planted_fault_is_found_as_exactly_its_root_causes(case, tmp_path, sandbox):
    findings = find_root_causes(tmp_path, case.model, (case.fault,), sandbox)
    assert name_planted(case.model, findings, case.expects) == set(case.expects)
    # What reading alone finds must not claim to have run anything, and nothing here ran on an accelerator.
    known_by = {Basis.READ} if FAULTS[case.fault].level == "read" else {Basis.READ, Basis.RAN}
    assert {finding.basis for finding in findings} <= known_by


def test_an_auto_class_that_exists_is_as_unregistered_as_one_that_does_not(tmp_path):
    project = write_project(tmp_path, ["chain-01"])
    loader = tmp_path / "unregistered_auto_class.py"
    source = loader.read_text(encoding="utf-8")
    loader.write_text(source.replace("AutoModelForVision2Seq", "AutoModelForCausalLM"), encoding="utf-8")
    findings = check(load_config(project), level="read", trust=True).findings
    assert [finding.name for finding in findings] == ["unregistered_auto_class"]
    assert "AutoModelForCausalLM" in findings[0].summary


@pytest.mark.slow
@pytest.mark.parametrize("case", mark_slow(case for case in PLANTABLE if FAULTS[case.fault].level == "read"))
def test_running_adds_no_second_cause_to_what_reading_found(case, tmp_path, sandbox):
    findings = find_root_causes(tmp_path, case.model, (case.fault,), sandbox, level="ran")
    assert name_planted(case.model, findings, case.expects) == set(case.expects)


def test_five_faults_at_once_are_five_root_causes_and_no_exception_text(tmp_path, sandbox):
    names = [finding.name for finding in find_root_causes(tmp_path, FIRST, FIVE, sandbox)]
    assert sorted(names) == sorted(name for fault in FIVE for name in FAULTS[fault].expects)
    assert len(names) == 5 and not any(name.startswith("failing_") for name in names)


@pytest.mark.slow
@pytest.mark.parametrize("cases", choose_groups(48, seed=20), ids=join_ids)
def test_faults_planted_together_are_all_found(cases, tmp_path, sandbox):
    wanted = {name for case in cases for name in case.expects}
    findings = find_root_causes(tmp_path, cases[0].model, [case.fault for case in cases], sandbox)
    assert name_planted(cases[0].model, findings, wanted) == wanted


@pytest.mark.gpu
@pytest.mark.parametrize("fault", [f for f in FAULTS.values() if f.level == "gpu"], ids=lambda fault: fault.id)
def test_a_fault_of_the_accelerator_is_left_to_its_machine(fault: Fault):
    pytest.skip(f"{fault.id} is not planted: {fault.unplantable}")
