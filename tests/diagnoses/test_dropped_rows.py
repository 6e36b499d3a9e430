from preflight_ocr.harness.facts import Site
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered
from tests.specimens.dropped_rows import HEALTHY, SICK


def test_lost_rows_are_reported_with_the_place_that_swallows_the_exception(findings_of):
    site = Site(file="collate.py", line=9, code="except Exception: continue", kind="", runs=None)
    [finding] = findings_of("dropped_rows", altered(SICK, {"subject.swallowed_exceptions": (site,)}))
    assert finding.evidence[0] == "rows in: 2, rows out: 1"
    assert "collate.py:9" in finding.evidence[1]


def test_a_row_that_vanishes_with_its_page_is_reported_although_the_sample_came_back_whole(findings_of):
    [finding] = findings_of("dropped_rows", altered(RUN, {"collator.swallowed_rows": 1}))
    assert "when its page cannot be opened" in finding.summary
    assert finding.evidence == ("rows in: 2, one of them without its page, rows out: 1",)


def test_rows_packed_into_one_are_silent(findings_of):
    assert findings_of("dropped_rows", HEALTHY) == ()
