from tests.specimens.leaked_rows import SICK


def test_a_shared_row_is_reported(findings_of):
    [finding] = findings_of("leaked_rows", SICK)
    assert finding.evidence == ("pages/0007.png in train and val",)
