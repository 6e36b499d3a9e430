from tests.specimens.swapped_images import HEALTHY, SICK


def test_swapped_pages_are_reported_with_both_rows(findings_of):
    [finding] = findings_of("swapped_images", SICK)
    assert finding.evidence[0] == "row 0: images[0][1] shows the page of row 1"


def test_rows_that_were_sorted_as_a_whole_are_silent(findings_of):
    assert findings_of("swapped_images", HEALTHY) == ()
