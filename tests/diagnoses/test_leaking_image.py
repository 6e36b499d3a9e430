from tests.specimens import HEALTHY as RUN
from tests.specimens.leaking_image import SICK


def test_a_page_that_reaches_another_row_is_reported_with_both_rows(findings_of):
    [finding] = findings_of("leaking_image", SICK)
    assert finding.evidence == ("the image of row 0 reaches row 1",)


def test_pages_that_stay_in_their_row_are_silent(findings_of):
    assert findings_of("leaking_image", RUN) == ()
