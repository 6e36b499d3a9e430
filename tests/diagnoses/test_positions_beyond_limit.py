from preflight_ocr.harness.facts import RowLength
from tests.specimens import altered
from tests.specimens.positions_beyond_limit import HEALTHY, SICK


def test_a_row_beyond_the_limit_is_named_with_its_number_and_lengths(findings_of):
    [finding] = findings_of("positions_beyond_limit", SICK)
    assert "reaches position 882; the model was made for 256 positions" in finding.summary
    assert finding.evidence == ("row 4 (large.png): 883 tokens, up to position 882",)


def test_the_last_position_of_all_is_within_the_limit(findings_of):
    rows = (RowLength(row=0, name="page.png", tokens=256, highest=255),)
    assert findings_of("positions_beyond_limit", altered(SICK, {"forward.positions.rows": rows})) == ()


def test_more_tokens_than_positions_are_healthy_where_pages_are_numbered_by_height_and_width(findings_of):
    rows = (RowLength(row=0, name="page.png", tokens=883, highest=120),)
    assert findings_of("positions_beyond_limit", altered(SICK, {"forward.positions.rows": rows})) == ()


def test_rows_within_the_limit_are_silent(findings_of):
    assert findings_of("positions_beyond_limit", HEALTHY) == ()
