from preflight_ocr.harness.facts import Unknown
from preflight_ocr.harness.judging.findings import Kept, Skipped
from tests.specimens import altered
from tests.specimens.unwritten_target import HEALTHY, SICK


def test_what_was_written_stands_beside_what_was_known(findings_of):
    [finding] = findings_of("unwritten_target", SICK)
    assert "known by heart after 23 steps" in finding.summary and "'breadbreadbread'" in finding.summary


def test_a_row_that_is_lost_only_in_another_process_is_told_apart(findings_of):
    [finding] = findings_of("unwritten_target", altered(HEALTHY, {"learning.round_trip.reread": (7, 7)}))
    assert "loaded in another process, though not before" in finding.summary


def test_a_model_that_writes_what_it_knows_is_right(outcome_of):
    assert isinstance(outcome_of("unwritten_target", HEALTHY), Kept)


def test_a_row_that_was_not_read_again_after_loading_is_no_pass(outcome_of):
    facts = altered(HEALTHY, {"learning.round_trip.reread": Unknown(reason="writing raised")})
    assert isinstance(outcome_of("unwritten_target", facts), Skipped)


def test_a_row_that_was_not_learnt_proves_nothing(outcome_of):
    facts = altered(HEALTHY, {"learning.recital": Unknown(reason="one row was not known by heart within 150 steps")})
    assert isinstance(outcome_of("unwritten_target", facts), Skipped)
