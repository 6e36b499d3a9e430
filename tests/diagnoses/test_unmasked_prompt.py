from tests.specimens import HEALTHY as RUN
from tests.specimens import altered
from tests.specimens.unmasked_prompt import SICK


def test_a_prompt_with_labels_is_reported_with_their_number(findings_of):
    [finding] = findings_of("unmasked_prompt", SICK)
    assert finding.evidence == ("row 0: 4 prompt tokens trained on",)


def test_a_row_whose_target_was_not_found_is_silent(findings_of):
    assert (
        findings_of("unmasked_prompt", altered(SICK, {"collator.batch.rows.0.roles": "biiiiiii" + "p" * 11 + "e"}))
        == ()
    )


def test_labels_one_token_early_belong_to_another_diagnosis(findings_of):
    early = altered(RUN, {"collator.batch.rows.0.trained": "00000000000111111110"})
    [finding] = findings_of("unmasked_prompt", early)
    assert finding.owners == ("wrong_target",)
