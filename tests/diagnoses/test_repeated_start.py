from preflight_ocr.harness.judging.findings import Kept, NotApplicable
from tests.specimens.repeated_start import DECODER, HEALTHY, SICK


def test_a_start_token_that_is_a_label_as_well_is_reported(findings_of):
    [finding] = findings_of("repeated_start", SICK)
    assert finding.summary.startswith("The labels of 3 of 3 rows begin with token 0")


def test_labels_that_begin_with_their_text_are_right(outcome_of):
    assert isinstance(outcome_of("repeated_start", HEALTHY), Kept)


def test_a_model_without_a_decoder_of_its_own_has_no_such_start(outcome_of):
    assert isinstance(outcome_of("repeated_start", DECODER), NotApplicable)
