from tests.specimens import HEALTHY as UNPACKED
from tests.specimens import altered
from tests.specimens.merged_into_packed_weights import HEALTHY, SICK


def test_a_merge_is_named_with_its_line_and_what_it_loses(findings_of):
    [finding] = findings_of("merged_into_packed_weights", SICK)
    assert "by 23% of what the adapter itself" in finding.summary
    assert [place.line for place in finding.places] == [31]


def test_packed_weights_that_nobody_merges_into_are_silent(findings_of):
    assert findings_of("merged_into_packed_weights", HEALTHY) == ()


def test_a_merge_into_ordinary_weights_is_silent(findings_of):
    merging = altered(UNPACKED, {"adapter.merges": SICK.adapter.merges})
    assert findings_of("merged_into_packed_weights", merging) == ()
