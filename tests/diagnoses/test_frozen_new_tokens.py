from tests.specimens import altered
from tests.specimens.frozen_new_tokens import HEALTHY, SICK


def test_new_rows_that_nothing_trains_are_named(findings_of):
    [finding] = findings_of("frozen_new_tokens", SICK)
    assert finding.summary.startswith(
        "2 of 40 tokens that the training texts use have output rows that are all but equal"
    )
    assert finding.evidence == ("token 500: '<td>'", "token 501: '</td>'")


def test_rows_that_can_be_told_apart_are_silent(findings_of):
    assert findings_of("frozen_new_tokens", HEALTHY) == ()


def test_rows_that_are_alike_and_trained_are_silent(findings_of):
    assert findings_of("frozen_new_tokens", altered(SICK, {"learning.alike_rows.trained": True})) == ()
