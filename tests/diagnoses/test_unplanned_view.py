from tests.specimens.unplanned_view import HEALTHY, SICK


def test_a_local_view_nobody_planned_is_reported_row_by_row(findings_of):
    [finding] = findings_of("unplanned_view", SICK)
    assert finding.evidence[0] == "row 0: 1 local view, expected none"


def test_a_page_cut_into_fewer_tiles_is_silent(findings_of):
    assert findings_of("unplanned_view", HEALTHY) == ()
