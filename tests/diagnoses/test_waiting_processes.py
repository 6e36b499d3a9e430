from preflight_ocr.harness.facts import Unknown
from preflight_ocr.harness.judging.findings import Kept, NotApplicable, Skipped
from tests.specimens import altered
from tests.specimens.waiting_processes import HEALTHY, SICK


def test_weights_that_a_row_of_text_leaves_out_are_counted_by_part(findings_of):
    [finding] = findings_of("waiting_processes", SICK)
    assert "24 of 52 trained weights" in finding.summary and "ddp_find_unused_parameters: false" in finding.summary
    assert "projector: 4 weights, vision: 20 weights" in finding.evidence
    assert "Remove the key" in finding.fix.instruction


def test_where_the_weights_are_split_the_key_is_not_what_helps(findings_of):
    [finding] = findings_of("waiting_processes", altered(SICK, {"learning.uneven.waits": "fsdp: full_shard"}))
    assert "Give each row a picture" in finding.fix.instruction


def test_rows_that_reach_every_trained_weight_are_silent(outcome_of):
    assert isinstance(outcome_of("waiting_processes", HEALTHY), Kept)


def test_it_is_no_matter_where_no_process_waits(outcome_of):
    assert isinstance(outcome_of("waiting_processes", altered(SICK, {"learning.uneven": None})), NotApplicable)


def test_a_step_that_could_not_be_taken_is_no_pass(outcome_of):
    unknown = altered(SICK, {"learning.uneven": Unknown(reason="the row was refused")})
    assert isinstance(outcome_of("waiting_processes", unknown), Skipped)


def test_where_nothing_was_run_it_is_skipped(outcome_of):
    unrun = altered(SICK, {"learning": Unknown(reason="not run")})
    assert isinstance(outcome_of("waiting_processes", unrun), Skipped)
