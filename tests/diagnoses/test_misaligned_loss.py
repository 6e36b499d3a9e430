from preflight_ocr.harness.judging.findings import Skipped
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered
from tests.specimens.misaligned_loss import HEALTHY, SICK


def test_an_encoder_decoder_held_to_the_next_label_is_reported(findings_of):
    [finding] = findings_of("misaligned_loss", altered(HEALTHY, {"forward.loss_reads": "next"}))
    assert "must be compared with its own label" in finding.summary


def test_a_decoder_held_to_its_own_label_is_reported_with_the_shift(findings_of):
    [finding] = findings_of("misaligned_loss", SICK)
    assert "logits[:, :-1]" in finding.fix.snippet


def test_the_right_reading_of_either_kind_is_silent(findings_of):
    assert findings_of("misaligned_loss", HEALTHY) == ()
    assert findings_of("misaligned_loss", RUN) == ()


def test_a_loss_that_is_neither_is_skipped_not_passed(outcome_of):
    assert isinstance(outcome_of("misaligned_loss", altered(RUN, {"forward.loss_reads": "neither"})), Skipped)
