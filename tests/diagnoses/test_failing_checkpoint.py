from tests.specimens.failing_checkpoint import SICK


def test_a_checkpoint_that_is_not_written_is_a_blocker_with_its_line(findings_of):
    [finding] = findings_of("failing_checkpoint", SICK)
    assert "share memory" in finding.summary
    assert finding.places[0].file == "train.py"
