import yaml

from preflight_ocr.harness.facts import Unknown
from preflight_ocr.harness.judging.findings import Skipped
from preflight_ocr.harness.verdict.contracts import derive, judge
from tests.specimens import HEALTHY, altered
from tests.specimens.lost_adapter import SICK


def test_keys_that_do_not_match_are_reported_with_an_example_of_each_kind(findings_of):
    [finding] = findings_of("lost_adapter", SICK)
    assert "2 of its keys" in finding.summary
    assert any(line.startswith("unexpected: base_model.model.base_model") for line in finding.evidence)


def test_an_adapter_that_comes_back_as_the_base_model_is_lost(findings_of):
    [finding] = findings_of("lost_adapter", altered(HEALTHY, {"learning.round_trip.differs_from_base": False}))
    assert "those of the base model" in finding.summary


def test_an_adapter_that_never_moved_was_not_lost_on_the_way(findings_of):
    changes = {f"learning.census.{n}.moved": 0 for n in range(2)}
    facts = altered(HEALTHY, {"learning.round_trip.differs_from_base": False, **changes})
    assert findings_of("lost_adapter", facts) == ()


def test_logits_that_could_not_be_compared_are_skipped_not_passed():
    facts = altered(HEALTHY, {"learning.round_trip.same_logits": Unknown(reason="it took too long")})
    [contract] = derive(facts, only=["lost_adapter"])
    assert judge(contract, facts) == Skipped("it took too long")


def test_weights_that_did_not_arrive_under_their_own_names_are_named(findings_of):
    changes = {"learning.round_trip.same_logits": False, "learning.round_trip.lost_keys": ("base_model.model.q_proj",)}
    [finding] = findings_of("lost_adapter", altered(HEALTHY, changes))
    assert "did not arrive" in finding.summary and "not loaded: base_model.model.q_proj" in finding.evidence


def test_a_part_that_is_trained_and_not_saved_is_named_with_where_it_belongs(findings_of):
    changes = {
        "adapter.unsaved": ("base_model.model.vision.projector.weight",),
        "learning.round_trip.same_logits": False,
    }
    [finding] = findings_of("lost_adapter", altered(HEALTHY, changes))
    assert yaml.safe_load(finding.fix.snippet) == {"lora": {"modules_to_save": ["projector"]}}
