from preflight_ocr.harness.judging.wording import known
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered
from tests.specimens.hidden_tokens import HEALTHY, SICK
from tests.specimens.unsupervised_eos import UNLABELLED


def test_hidden_target_tokens_are_counted(findings_of):
    [finding] = findings_of("hidden_tokens", SICK)
    assert finding.evidence == ("row 0: 2 target tokens hidden",)


def test_attended_padding_behind_the_text_is_silent(findings_of):
    assert findings_of("hidden_tokens", HEALTHY) == ()


def test_attended_padding_in_front_of_the_text_is_reported(findings_of):
    [finding] = findings_of("hidden_tokens", altered(RUN, {"collator.batch.rows.1.attended": "1" * 20}))
    assert finding.evidence == ("row 1: 4 padding tokens in front attended",)


def test_a_hidden_token_that_may_be_padding_is_skipped_not_kept(outcome_of):
    changes = {
        "tokenizer.pad": known(RUN.tokenizer).eos,
        "collator.batch.rows.0.trained": UNLABELLED,
        "collator.batch.rows.0.attended": "11111111111111111110",
    }
    assert "cannot be told" in outcome_of("hidden_tokens", altered(RUN, changes)).reason
    hides_more = {**changes, "collator.batch.rows.0.attended": "11111111111111011110"}
    assert outcome_of("hidden_tokens", altered(RUN, hides_more)).findings[0].evidence == (
        "row 0: 1 target token hidden",
    )
