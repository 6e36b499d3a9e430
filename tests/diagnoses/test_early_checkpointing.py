from preflight_ocr.harness.facts import Raised
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered
from tests.specimens.early_checkpointing import HEALTHY, SICK


def test_a_step_that_fails_with_checkpointing_names_the_kind_that_works(findings_of):
    [finding] = findings_of("early_checkpointing", SICK)
    assert "does not require grad" in finding.summary
    assert "use_reentrant: false" in finding.fix.snippet


def test_checkpointing_nobody_asked_for_is_silent(findings_of):
    assert findings_of("early_checkpointing", HEALTHY) == ()


def test_checkpointing_switched_on_by_the_users_own_code_is_found_in_the_step(findings_of):
    leaf = Raised(
        type="RuntimeError", message="a view of a leaf Variable that requires grad is being used in-place", site=None
    )
    [finding] = findings_of("early_checkpointing", altered(RUN, {"learning.training": leaf}))
    assert "after get_peft_model" in finding.fix.instruction


def test_a_class_without_checkpointing_is_told_to_go_without(findings_of):
    none = Raised(type="ValueError", message="TinyOcr does not support activation checkpointing", site=None)
    [finding] = findings_of("early_checkpointing", altered(SICK, {"learning.checkpointing": none}))
    assert finding.fix.snippet == "training: {gradient_checkpointing: false}"
