from tests.specimens import altered
from tests.specimens.malformed_tiling import HEALTHY, SICK


def test_a_tiling_shorter_than_the_batch_is_reported_with_both_shapes(findings_of):
    [finding] = findings_of("malformed_tiling", SICK)
    assert "int64 tensor [1, 2], expected int64 tensor [2, 2]" in finding.summary


def test_a_list_that_forward_takes_is_silent(findings_of):
    assert findings_of("malformed_tiling", HEALTHY) == ()


def test_other_numbers_are_a_fault_only_where_the_views_are_those_planned(findings_of):
    counts = altered(SICK, {"collator.deltas.0.kind": "value"})
    assert len(findings_of("malformed_tiling", counts)) == 1
    assert findings_of("malformed_tiling", altered(counts, {"collator.planned_tiles": (6, 0)})) == ()


def test_a_tiling_that_came_along_with_another_rows_page_is_silent(findings_of):
    swapped = {"collator.deltas.0.kind": "value", "collator.views.0.source_row": 1}
    assert findings_of("malformed_tiling", altered(SICK, swapped)) == ()
