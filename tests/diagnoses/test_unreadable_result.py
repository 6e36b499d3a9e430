from tests.specimens.unreadable_result import SICK


def test_what_a_fresh_process_cannot_load_is_quoted(findings_of):
    [finding] = findings_of("unreadable_result", SICK)
    assert "size mismatch" in finding.summary
