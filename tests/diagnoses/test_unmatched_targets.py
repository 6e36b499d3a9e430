from preflight_ocr.harness.facts import Target
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered
from tests.specimens.unmatched_targets import HEALTHY, SICK


def test_names_that_hit_nothing_are_listed(findings_of):
    [finding] = findings_of("unmatched_targets", SICK)
    assert finding.evidence == ("query: hits nothing", "value: hits nothing")


def test_one_name_too_many_is_silent(findings_of):
    assert findings_of("unmatched_targets", HEALTHY) == ()


def test_adapters_in_a_vision_tower_alone_are_a_fault_only_where_nothing_learns(findings_of):
    vision = altered(RUN, {"adapter.targets": (Target(name="qkv", hits={"vision": 6}),)})
    assert findings_of("unmatched_targets", vision) == ()
    still = altered(vision, {f"learning.census.{n}.with_gradient": 0 for n in (0, 1)})
    [finding] = findings_of("unmatched_targets", still)
    assert finding.evidence == ("qkv: 6 in vision",)
