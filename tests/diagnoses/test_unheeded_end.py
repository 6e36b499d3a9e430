from preflight_ocr.harness.judging.findings import Kept
from tests.specimens.unheeded_end import HEALTHY, SICK


def test_the_trained_end_and_the_ones_that_stop_are_told_with_their_texts(findings_of):
    [finding] = findings_of("unheeded_end", SICK)
    assert finding.summary.startswith("The labels of 3 of 3 rows hold no token that generation stops at.")
    assert "`</s>` (2)" in finding.summary and "`<｜end▁of▁sentence｜>` (1)" in finding.summary
    assert finding.fix.snippet == "model.generation_config.eos_token_id = [1, 2]"


def test_rows_that_end_where_generation_stops_are_right(outcome_of):
    assert isinstance(outcome_of("unheeded_end", HEALTHY), Kept)
