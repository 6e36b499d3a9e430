"""Every fault of the corpus, planted in a project and found: by its root cause, by nothing else, alone and with others."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pytest

from fixtures.corpus import Fault, find_faults
from fixtures.corpus.plant import choose_level, clash, find_obstacle, write_project
from harness.check import check, open_sandbox
from harness.config import load_config
from harness.findings import Basis, Crashed, Finding
from harness.isolation import Sandbox

FAULTS = find_faults()
BY_ID = {fault.id: fault for fault in FAULTS}
PLANTABLE = [fault for fault in FAULTS if find_obstacle(fault) is None]
FIVE = ("chain-13", "chain-14", "chain-15", "chain-16", "chain-17")


def choose_groups(count: int, seed: int) -> list[tuple[Fault, ...]]:
    """Half pairs, half triples of faults that do not take each other's place."""
    chosen = random.Random(seed)
    groups: list[tuple[Fault, ...]] = []
    while len(groups) < count:
        group = tuple(sorted(chosen.sample(PLANTABLE, 2 if len(groups) < count // 2 else 3), key=lambda f: f.id))
        if group not in groups and not any(clash(left, right) for left, right in combinations(group, 2)):
            groups.append(group)
    return groups


def join_ids(faults: tuple[Fault, ...]) -> str:
    return "+".join(fault.id for fault in faults)


def get_id(fault: Fault) -> str:
    return fault.id


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    with open_sandbox() as opened:
        yield opened


def find_root_causes(
    directory: Path, faults: tuple[Fault, ...], sandbox: Sandbox, level: str | None = None
) -> tuple[Finding, ...]:
    """Plant the faults and check the project, at the cheapest level that can find them unless told."""
    model = faults[0].models[0] if faults else "deepseek_ocr"
    config = load_config(write_project(directory, [fault.id for fault in faults], model=model))
    report = check(config, level=level or choose_level(faults), trust=True, sandbox=sandbox)
    assert not [judgement for judgement in report.judgements if isinstance(judgement.outcome, Crashed)]
    return report.findings


def test_a_healthy_project_has_no_finding(tmp_path, sandbox):
    assert find_root_causes(tmp_path, (), sandbox, level="ran") == ()


@pytest.mark.parametrize("fault", PLANTABLE, ids=get_id)
def test_a_planted_fault_is_found_as_exactly_its_root_causes(fault, tmp_path, sandbox):
    findings = find_root_causes(tmp_path, (fault,), sandbox)
    assert {finding.name for finding in findings} == set(fault.expects)
    # What reading alone finds must not claim to have run anything, and nothing here ran on an accelerator.
    known_by = {Basis.READ} if fault.level == "read" else {Basis.READ, Basis.RAN}
    assert {finding.basis for finding in findings} <= known_by


def test_an_auto_class_that_exists_is_as_unregistered_as_one_that_does_not(tmp_path):
    project = write_project(tmp_path, ["chain-01"])
    loader = tmp_path / "chain_01.py"
    source = loader.read_text(encoding="utf-8")
    loader.write_text(source.replace("AutoModelForVision2Seq", "AutoModelForCausalLM"), encoding="utf-8")
    findings = check(load_config(project), level="read", trust=True).findings
    assert [finding.name for finding in findings] == ["unregistered_auto_class"]
    assert "AutoModelForCausalLM" in findings[0].summary


@pytest.mark.slow
@pytest.mark.parametrize("fault", [f for f in PLANTABLE if f.level == "read"], ids=get_id)
def test_running_adds_no_second_cause_to_what_reading_found(fault, tmp_path, sandbox):
    assert {f.name for f in find_root_causes(tmp_path, (fault,), sandbox, level="ran")} == set(fault.expects)


def test_five_faults_at_once_are_five_root_causes_and_no_exception_text(tmp_path, sandbox):
    names = [finding.name for finding in find_root_causes(tmp_path, tuple(BY_ID[i] for i in FIVE), sandbox)]
    assert sorted(names) == sorted(name for i in FIVE for name in BY_ID[i].expects)
    assert len(names) == 5 and not any(name.startswith("failing_") for name in names)


@pytest.mark.slow
@pytest.mark.parametrize("faults", choose_groups(12, seed=20), ids=join_ids)
def test_faults_planted_together_are_all_found(faults, tmp_path, sandbox):
    wanted = {name for fault in faults for name in fault.expects}
    assert {finding.name for finding in find_root_causes(tmp_path, faults, sandbox)} == wanted


@pytest.mark.gpu
@pytest.mark.parametrize("fault", [f for f in FAULTS if f.level == "gpu"], ids=get_id)
def test_a_fault_of_the_accelerator_is_left_to_its_machine(fault):
    pytest.skip(f"{fault.id} is not planted: {fault.unplantable}")
