from tests.specimens.misscaled_loss import HEALTHY, SICK


def test_a_loss_off_by_the_accumulation_steps_is_reported_with_the_factor(findings_of):
    [finding] = findings_of("misscaled_loss", SICK)
    assert "over 2 steps the loss is 2 times" in finding.summary


def test_a_mean_of_means_that_is_a_little_off_is_silent(findings_of):
    assert findings_of("misscaled_loss", HEALTHY) == ()
