from tests.specimens.random_collator import HEALTHY, SICK


def test_two_different_batches_for_the_same_rows_are_reported(findings_of):
    [finding] = findings_of("random_collator", SICK)
    assert finding.summary.startswith("train:make_collator gave two different batches")


def test_our_own_augmentation_is_silent(findings_of):
    assert findings_of("random_collator", HEALTHY) == ()
