"""What a planted project takes over from the healthy one is what it would have computed itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from preflight_ocr.fixtures.corpus import find_faults
from preflight_ocr.fixtures.corpus.cases import find_cases
from preflight_ocr.fixtures.corpus.models import find_miniatures, find_model_obstacle, place_model
from preflight_ocr.fixtures.corpus.plant import choose_level, write_project
from preflight_ocr.harness.check.asked import Asked
from preflight_ocr.harness.check.check import check, judge
from preflight_ocr.harness.check.check import look as look_at
from preflight_ocr.harness.commands.corpus.reuse import TRAINING, Inputs, choose_known, list_same, read_inputs
from preflight_ocr.harness.config.config import load_config
from preflight_ocr.harness.facts import Facts, Unknown
from preflight_ocr.harness.isolation import Sandbox
from tests.specimens import altered
from tests.specimens.healthy import HEALTHY

FAST = ("qwen2_vl",)
FAULTS = {fault.id: fault for fault in find_faults()}
MODELS = [
    pytest.param(model.name, marks=() if model.name in FAST else pytest.mark.slow)
    for model in find_miniatures()
    if find_model_obstacle(model.name) is None
]
SAMPLE = [
    pytest.param(case, id=f"{case.model}-{case.fault}", marks=pytest.mark.slow)
    for case in find_cases()[::7]
    if case.obstacle is None and choose_level([FAULTS[case.fault]]) == "ran"
]
RAISING = '''"""A user's parts that must not be asked for."""


def refuse(*given):
    raise AssertionError("this part was said not to be read")
'''
SECTIONS = ("processor", "collator", "forward", "adapter", "learning", "memory")


@pytest.fixture(scope="module")
def baselines(sandbox, tmp_path_factory) -> Any:
    """The inputs and facts of a model's healthy project, each looked at once."""
    found: dict[str, tuple[Inputs, Facts]] = {}

    def get(model: str) -> tuple[Inputs, Facts]:
        if model not in found:
            project = write_project(tmp_path_factory.mktemp(model), (), model=model)
            found[model] = read_inputs(project, (), place_model(model)), look(project, sandbox)
        return found[model]

    return get


def look(project: Path, sandbox: Sandbox, **options: Any) -> Facts:
    return check(load_config(project), level="ran", trust=True, sandbox=sandbox, **options).facts


def change(project: Path, **sections: Any) -> Path:
    """The project with these sections of its YAML replaced, those that are None taken away."""
    document = yaml.safe_load(project.read_text(encoding="utf-8")) | sections
    kept = {name: section for name, section in document.items() if section is not None}
    project.write_text(yaml.safe_dump(kept), encoding="utf-8")
    return project


def forget_places(section: Any, *places: Path) -> Any:
    """A section of the facts without what no two runs share: places of this machine, and the chance in a new adapter."""
    text = msgspec.json.encode(section).decode()
    for place in places:
        text = text.replace(str(place), "DIR")
    value = msgspec.json.decode(text)
    if isinstance(value, dict) and isinstance(value.get("losses"), list):
        value["losses"] = [round(value["losses"][0], 3), len(value["losses"])]
    return value


def same(facts: Facts, project: Path, planted: Facts, other: Path, names: tuple[str, ...]) -> None:
    for name in names:
        left, right = (
            forget_places(getattr(seen, name), place.parent) for seen, place in ((facts, project), (planted, other))
        )
        assert left == right, name


@pytest.mark.parametrize("model", MODELS)
def test_a_collator_that_cannot_be_built_changes_nothing_for_the_adapter(model, tmp_path, sandbox, baselines):
    project = write_project(tmp_path, (), model=model)
    (tmp_path / "refusing.py").write_text(RAISING, encoding="utf-8")
    subject = yaml.safe_load(project.read_text(encoding="utf-8")).get("subject", {})
    change(project, subject={**subject, "collator": "refusing:refuse"})
    seen = look(project, sandbox)
    assert "AssertionError" in msgspec.json.encode(seen.collator).decode()
    same(baselines(model)[1], project, seen, project, ("adapter", "processor"))


@pytest.mark.parametrize("model", MODELS)
def test_an_adapter_step_that_refuses_changes_nothing_for_the_collator_and_forward(model, tmp_path, sandbox, baselines):
    project = write_project(tmp_path, (), model=model)
    (tmp_path / "refusing.py").write_text(RAISING, encoding="utf-8")
    document = yaml.safe_load(project.read_text(encoding="utf-8"))
    refusing = {"peft": "refusing:refuse"}
    other = {"lora": {"r": 3, "task_type": "SEQ_CLS"}, "training": {"output_dir": "elsewhere", "fp16": True}}
    assert set(document) & set(TRAINING) == set(other)
    change(project, **other, subject={**document.get("subject", {}), **refusing})
    seen = look(project, sandbox)
    same(baselines(model)[1], project, seen, project, ("collator", "forward", "processor"))


@pytest.mark.parametrize("case", SAMPLE)
def test_facts_taken_over_are_those_that_the_planted_project_gives(case, tmp_path, sandbox, baselines):
    project = write_project(tmp_path, (case.fault,), model=case.model)
    inputs, facts = baselines(case.model)
    known = choose_known(read_inputs(project, (case.fault,), place_model(case.model)), inputs, facts)
    if known is None:
        pytest.skip("this fault changes something for every child")
    config, asked = load_config(project), Asked(trust=True)
    with_known = judge(config, asked, look_at(config, asked, sandbox=sandbox, known=known))
    fresh = check(load_config(project), trust=True, sandbox=sandbox)
    same(fresh.facts, project, with_known.facts, project, SECTIONS)
    assert [f.code for f in fresh.findings] == [f.code for f in with_known.findings]


def test_a_project_is_the_same_as_itself_wherever_it_lies(tmp_path):
    here, there = (write_project(tmp_path / name, ()) for name in ("here", "there"))
    place = place_model("deepseek_ocr")
    assert set(list_same(read_inputs(here, (), place), read_inputs(there, (), place))) == {
        "processor",
        "collator",
        "forward",
        "learning",
    }


@pytest.mark.parametrize(
    ("fault", "children"),
    [
        ("chain-16", {"processor"}),  # a collator
        ("chain-04", {"processor", "collator", "forward"}),  # a task type
        ("web-10", {"processor", "collator", "forward"}),  # an adapter step
        ("web-31", {"processor"}),  # a trainer, which is built to see what it brings
        ("chain-17", {"processor"}),  # a wrapper
        ("web-03", {"processor"}),  # rows
        ("web-07", set()),  # a tokenizer's files
    ],
)
def test_a_child_is_known_only_where_nothing_that_it_reads_was_planted(fault, children, tmp_path):
    healthy, planted = write_project(tmp_path / "healthy", ()), write_project(tmp_path / "planted", (fault,))
    place = place_model("deepseek_ocr")
    assert set(list_same(read_inputs(planted, (fault,), place), read_inputs(healthy, (), place))) == children


def test_two_faults_of_one_part_are_two_inputs(tmp_path):
    place, inputs = place_model("deepseek_ocr"), []
    for fault in ("chain-16", "web-04"):
        inputs.append(read_inputs(write_project(tmp_path / fault, (fault,)), (fault,), place))
    assert set(list_same(*inputs)) == {"processor"}


def test_without_a_declared_family_the_learning_child_is_never_taken_over(tmp_path):
    project = write_project(tmp_path, ())
    inputs = read_inputs(project, (), place_model("deepseek_ocr"))
    known = choose_known(inputs, inputs, HEALTHY)
    assert known is not None and "learning" in known.children
    undeclared = altered(HEALTHY, {"collator.reference": Unknown(reason="no family declares this model")})
    known = choose_known(inputs, inputs, undeclared)
    assert known is not None and "learning" not in known.children


def test_a_child_that_ended_early_is_run_again(tmp_path):
    project = write_project(tmp_path, ())
    inputs = read_inputs(project, (), place_model("deepseek_ocr"))
    known = choose_known(inputs, inputs, altered(HEALTHY, {"forward": Unknown(reason="it was stopped")}))
    assert known is not None and "forward" not in known.children
