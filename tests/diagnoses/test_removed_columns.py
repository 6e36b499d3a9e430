from tests.specimens.removed_columns import HEALTHY, SICK


def test_columns_that_only_the_collator_reads_are_reported_by_name(findings_of):
    [finding] = findings_of("removed_columns", SICK)
    assert "`image_path`, `text`" in finding.summary
    assert "remove_unused_columns: false" in finding.fix.snippet


def test_columns_that_forward_takes_are_silent(findings_of):
    assert findings_of("removed_columns", HEALTHY) == ()
