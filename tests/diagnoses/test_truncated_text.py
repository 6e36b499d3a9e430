from tests.specimens import altered, write_row
from tests.specimens.truncated_text import SICK


def test_a_text_cut_short_is_reported_with_what_is_learned_of_it(findings_of):
    [finding] = findings_of("truncated_text", SICK)
    assert finding.summary.startswith("1 of 2 rows")
    assert "learned 13 of 20 letters" in finding.evidence[0]
    assert "max_seq_length: 32" in finding.fix.snippet


def test_a_row_that_loses_image_tokens_is_left_to_the_diagnosis_of_those(findings_of):
    row = write_row("biiiii", target="Жили-были дед и баба")
    facts = altered(SICK, {"collator.batch.rows.0": row, "collator.batch.rows.1.truncated": False})
    [finding] = findings_of("truncated_text", altered(facts, {"collator.batch.rows.0.truncated": True}))
    assert finding.owners == ("truncated_image_tokens",)
