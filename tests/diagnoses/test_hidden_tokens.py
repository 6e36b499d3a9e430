from tests.specimens import HEALTHY as RUN
from tests.specimens import altered
from tests.specimens.hidden_tokens import HEALTHY, SICK


def test_hidden_target_tokens_are_counted(findings_of):
    [finding] = findings_of("hidden_tokens", SICK)
    assert finding.evidence == ("row 0: 2 target tokens hidden",)


def test_attended_padding_behind_the_text_is_silent(findings_of):
    assert findings_of("hidden_tokens", HEALTHY) == ()


def test_attended_padding_in_front_of_the_text_is_reported(findings_of):
    [finding] = findings_of("hidden_tokens", altered(RUN, {"collator.batch.rows.1.attended": "1" * 20}))
    assert finding.evidence == ("row 1: 4 padding tokens in front attended",)
