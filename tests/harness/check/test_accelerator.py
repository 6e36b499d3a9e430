"""Going to the card: the child that may see it, the reasons where there is none, and every miniature on it."""

from __future__ import annotations

import functools

import pytest

import preflight_ocr.harness.check.check
from preflight_ocr.fixtures.corpus.models import find_miniatures, find_model_obstacle
from preflight_ocr.fixtures.corpus.plant import write_project
from preflight_ocr.harness.check.accelerator import NO_CARD, VISIBLE, choose_card, find_obstacle, look_at_device
from preflight_ocr.harness.check.check import check
from preflight_ocr.harness.check.sandboxes import limit
from preflight_ocr.harness.config.config import load_config
from preflight_ocr.harness.diagnoses import catalogue
from preflight_ocr.harness.facts import Accelerator, Device, Facts, InstalledCard, Unknown
from preflight_ocr.harness.isolation import ChildRaised
from preflight_ocr.harness.judging.findings import Basis, Broken, Crashed, Kept, Skipped
from preflight_ocr.harness.verdict.contracts import derive, judge_all
from tests.specimens import HEALTHY, altered

CARDS = (InstalledCard(name="NVIDIA L4", capability="8.9", memory_bytes=24 << 30),)
ON_A_CARD = tuple(module.DIAGNOSIS.code for module in catalogue() if module.DIAGNOSIS.basis is Basis.GPU)
EVERY = tuple(miniature.name for miniature in find_miniatures())


def tell(ended):
    raise AssertionError(ended)


def write(tmp_path, name):
    if reason := find_model_obstacle(name):
        pytest.skip(reason)
    return load_config(write_project(tmp_path / "project", [], model=name))


@pytest.mark.parametrize(
    ("visible", "card"),
    [(None, "0"), ("0", "0"), ("2,1", "2"), ("MIG-4f2, MIG-7a1", "MIG-4f2"), ("", None), ("-1", None)],
)
def test_the_child_sees_the_first_card_that_we_may_see(visible, card):
    assert choose_card(visible) == card


def test_without_a_card_the_reason_says_so(monkeypatch):
    monkeypatch.delenv(VISIBLE, raising=False)
    assert find_obstacle(altered(HEALTHY, {"environment.cards": ()})) == Unknown(reason=NO_CARD)
    why = Unknown(reason="the NVIDIA driver did not answer")
    assert find_obstacle(altered(HEALTHY, {"environment.cards": why})) == why
    assert find_obstacle(altered(HEALTHY, {"environment": why})) == why
    assert find_obstacle(altered(HEALTHY, {"environment.cards": CARDS})) is None


def test_a_card_that_the_user_hides_is_not_looked_for(monkeypatch):
    monkeypatch.setenv(VISIBLE, "")
    obstacle = find_obstacle(altered(HEALTHY, {"environment.cards": CARDS}))
    assert obstacle is not None and VISIBLE in obstacle.reason


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_the_child_runs_everything_but_the_measures_on_a_cpu(name, tmp_path):
    config = write(tmp_path, name)
    given = altered(HEALTHY, {"forward": Unknown(reason="not run")})  # whether this model generates is another's to say
    facts, seconds = look_at_device(config, given, tmp_path, trust=True, limits=limit(300), tell=tell, device="cpu")
    assert isinstance(facts.accelerator, Accelerator) and seconds > 0
    assert Facts.from_json(facts.to_json()) == facts
    judgements = judge_all(derive(facts, only=ON_A_CARD), facts)
    outcomes = {j.contract.diagnosis.name: j.outcome for j in judgements}
    assert not [o for o in outcomes.values() if isinstance(o, Broken | Crashed)]
    assert outcomes["growing_memory"] == Skipped("not measured: no accelerator")
    assert {"failing_on_card", "failing_dtype", "diverging_from_cpu", "failing_loader"} <= {
        name for name, outcome in outcomes.items() if isinstance(outcome, Kept)
    }


def test_a_torch_that_cannot_use_the_card_is_a_fact_with_the_drivers_name(tmp_path, monkeypatch):
    """The card that the driver lists here is made up, and torch really refuses it."""
    monkeypatch.setenv(VISIBLE, "GPU-made-up")
    config = write(tmp_path, "deepseek_ocr")
    given = altered(HEALTHY, {"environment.cards": CARDS})
    facts, _ = look_at_device(config, given, tmp_path, trust=True, limits=limit(300), tell=tell)
    assert isinstance(facts.device, Device) and facts.device.name == "NVIDIA L4" and facts.device.refused
    assert isinstance(facts.accelerator, Unknown) and facts.accelerator.reason.startswith("torch cannot use the card: ")
    judgements = judge_all(derive(facts, only=ON_A_CARD), facts)
    assert [j.contract.diagnosis.name for j in judgements if isinstance(j.outcome, Broken)] == ["unusable_card"]


def test_how_the_child_ended_is_the_reason(tmp_path):
    config = write(tmp_path, "deepseek_ocr")
    seen = []

    def note(ended):
        seen.append(ended)
        return Unknown(reason="it ended")

    facts, _ = look_at_device(config, HEALTHY, tmp_path, trust=True, limits=limit(300), tell=note, device="tpu")
    assert facts.device == facts.accelerator == Unknown(reason="it ended")
    assert isinstance(seen[0], ChildRaised) and "expected cuda or cpu" in seen[0].message


@pytest.mark.slow
def test_a_check_at_level_gpu_goes_to_the_card(tmp_path, monkeypatch, sandbox):
    """The whole way of `preflight check --level gpu`, with the CPU in the place of the card."""
    config = write(tmp_path, "qwen2_vl")
    monkeypatch.setattr(preflight_ocr.harness.check.check, "find_obstacle", lambda facts: None)
    monkeypatch.setattr(
        preflight_ocr.harness.check.check, "look_at_device", functools.partial(look_at_device, device="cpu")
    )
    report = check(config, level="gpu", trust=True, sandbox=sandbox)
    assert isinstance(report.facts.accelerator, Accelerator) and not report.findings
    assert report.timings["run accelerator"] > 0


@pytest.mark.gpu
@pytest.mark.parametrize("name", EVERY)
def test_a_healthy_miniature_keeps_every_contract_on_the_card(name, tmp_path):
    report = check(write(tmp_path, name), level="gpu", trust=True, only=ON_A_CARD)
    outcomes = {j.contract.diagnosis.name: j.outcome for j in report.judgements}
    assert isinstance(report.facts.accelerator, Accelerator), report.facts.accelerator
    assert {n: o for n, o in outcomes.items() if isinstance(o, Broken | Crashed)} == {}
    assert isinstance(outcomes["growing_memory"], Kept)
