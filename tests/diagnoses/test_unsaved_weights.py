from preflight_ocr.harness.judging.findings import Skipped
from tests.specimens import altered
from tests.specimens.unsaved_weights import HEALTHY, SICK


def test_a_parameter_that_moved_and_is_in_no_file_is_named_with_its_module(findings_of):
    [finding] = findings_of("unsaved_weights", SICK)
    assert finding.summary.startswith("1 trained parameter is not in the saved file")
    assert finding.fix.snippet == "lora:\n  modules_to_save: [multi_modal_projector]"


def test_a_run_that_saves_what_it_trains_is_silent(findings_of):
    assert findings_of("unsaved_weights", HEALTHY) == ()


def test_a_trainer_of_the_users_own_may_save_it_elsewhere(outcome_of):
    facts = altered(SICK, {"configuration.replaced_parts": ("trainer",)})
    assert isinstance(outcome_of("unsaved_weights", facts), Skipped)
