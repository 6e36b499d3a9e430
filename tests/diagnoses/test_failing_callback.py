from tests.specimens.failing_callback import SICK


def test_a_callback_is_reported_by_its_name_and_event(findings_of):
    [finding] = findings_of("failing_callback", SICK)
    assert "Upload raised in on_save" in finding.summary
