from preflight_ocr.harness.facts import Unknown
from preflight_ocr.harness.judging.findings import NotApplicable, Skipped
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered
from tests.specimens.altering_wrapper import HEALTHY, SICK


def test_other_logits_behind_the_wrapper_are_reported_with_both_classes(findings_of):
    [finding] = findings_of("altering_wrapper", SICK)
    assert finding.summary.startswith("Sharpened hands the whole batch on to DeepseekOCRForCausalLM")


def test_a_wrapper_that_loses_an_input_is_another_defect(findings_of):
    assert findings_of("altering_wrapper", altered(SICK, {"forward.wrapper.dropped": ("images",)})) == ()


def test_a_wrapper_with_the_same_logits_is_silent(findings_of):
    assert findings_of("altering_wrapper", HEALTHY) == ()


def test_logits_that_could_not_be_compared_are_skipped_not_passed(outcome_of):
    facts = altered(SICK, {"forward.wrapper.same_outputs": Unknown(reason="no logits to compare")})
    assert outcome_of("altering_wrapper", facts) == Skipped("no logits to compare")


def test_without_a_wrapper_there_is_no_contract(outcome_of):
    assert isinstance(outcome_of("altering_wrapper", RUN), NotApplicable)
