import msgspec

from preflight_ocr.harness.facts import Delta
from preflight_ocr.harness.judging.findings import NotApplicable
from preflight_ocr.harness.verdict.contracts import derive, judge_all, root_causes
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered
from tests.specimens.swallowed_key import HEALTHY, PIXELS, SICK


def call_it(name: str, **changes: object) -> dict[str, object]:
    """The sick batch with its pixels under another name."""
    keys = tuple(name if key == "image" else key for key in SICK.collator.batch.keys)
    return {
        "collator.batch.keys": keys,
        "collator.batch.leaves.0.argument": name,
        "forward.idle_keys": (name,),
        **changes,
    }


def test_a_misspelt_name_is_reported_with_the_one_that_was_meant(findings_of):
    [finding] = findings_of("swallowed_key", SICK)
    assert "`image` (meant: `images`) through **loss_kwargs" in finding.summary
    assert finding.fix.snippet == 'batch["images"] = batch.pop("image")'


def test_the_argument_that_is_missing_for_it_is_no_second_cause():
    assert [root.name for root in root_causes(judge_all(derive(SICK), SICK))] == ["swallowed_key"]


def test_another_missing_argument_stays_a_cause_of_its_own():
    tiling = Delta(
        argument="images_spatial_crop",
        path="images_spatial_crop",
        kind="missing",
        seen="absent",
        expected="int64 tensor [2, 2]",
    )
    facts = altered(SICK, {"collator.deltas": (*SICK.collator.deltas, tiling)})
    names = {root.name for root in root_causes(judge_all(derive(facts), facts))}
    assert names == {"swallowed_key", "missing_required_input"}


def test_a_name_of_another_model_is_known_by_the_numbers_it_holds(findings_of):
    expected = {"collator.reference.leaves": (msgspec.structs.replace(PIXELS, argument="images", path="images"),)}
    [finding] = findings_of("swallowed_key", altered(SICK, {**expected, **call_it("pixel_values")}))
    assert "`pixel_values` (meant: `images`)" in finding.summary
    numbers = {"collator.batch.leaves.0.dtype": "int64"}
    assert findings_of("swallowed_key", altered(altered(SICK, {**expected, **call_it("pixel_values")}), numbers)) == ()


def test_a_key_that_changes_the_loss_is_used(findings_of):
    assert findings_of("swallowed_key", altered(SICK, {"forward.idle_keys": ()})) == ()


def test_a_key_that_stands_for_nothing_is_silent(findings_of):
    assert findings_of("swallowed_key", HEALTHY) == ()


def test_a_closed_signature_has_no_such_contract(outcome_of):
    assert isinstance(outcome_of("swallowed_key", RUN), NotApplicable)
