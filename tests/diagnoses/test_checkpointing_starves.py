from tests.specimens.checkpointing_starves import HEALTHY, SICK


def test_a_part_that_loses_its_gradient_is_reported_with_both_counts(findings_of):
    [finding] = findings_of("checkpointing_starves", SICK)
    assert finding.evidence == ("attention: 4 of 4 adapters with a gradient without checkpointing, 0 with it",)


def test_checkpointing_nobody_asked_for_is_silent(findings_of):
    assert findings_of("checkpointing_starves", HEALTHY) == ()
