from tests.specimens import HEALTHY as RUN
from tests.specimens import altered
from tests.specimens.mismatched_prompt import HEALTHY, SICK


def test_another_prompt_is_reported_with_the_one_prediction_uses(findings_of):
    [finding] = findings_of("mismatched_prompt", SICK)
    assert "The prompt is 'OCR:'" in finding.summary
    assert "Free OCR." in finding.fix.snippet


def test_several_prompts_of_which_one_is_predictions_are_silent(findings_of):
    assert findings_of("mismatched_prompt", HEALTHY) == ()


def test_rows_without_the_bos_token_are_named(findings_of):
    changes = {"collator.batch.rows.0.roles": "piiiiiiippppttttttte"}
    [finding] = findings_of("mismatched_prompt", altered(RUN, changes))
    assert finding.evidence == ("row 0: no BOS",)


def test_rows_that_do_not_show_where_their_prompt_ends_are_skipped_not_passed(outcome_of):
    changes = {f"collator.batch.rows.{n}.roles": "biiiiiiippp" for n in range(len(RUN.collator.batch.rows))}
    assert "no row shows where its prompt ends" in outcome_of("mismatched_prompt", altered(RUN, changes)).reason
