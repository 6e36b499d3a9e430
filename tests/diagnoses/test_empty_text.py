from tests.specimens.empty_text import SICK


def test_a_row_without_text_is_reported_with_its_split(findings_of):
    [finding] = findings_of("empty_text", SICK)
    assert finding.evidence == ("val row 1: pages/0001.png (empty text)",)
