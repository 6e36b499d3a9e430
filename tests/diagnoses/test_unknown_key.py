from tests.specimens.unknown_key import SICK


def test_a_misspelt_key_is_reported_with_the_key_that_was_meant(findings_of):
    [finding] = findings_of("unknown_key", SICK)
    assert "`training.learning_rte`: did you mean `training.learning_rate`?" in finding.evidence
    assert "training.learning_rate:" in finding.fix.snippet


def test_a_key_far_from_all_others_is_reported_without_a_guess(findings_of):
    [finding] = findings_of("unknown_key", SICK)
    assert "`wishes.fast`: no known key is close to it" in finding.evidence
