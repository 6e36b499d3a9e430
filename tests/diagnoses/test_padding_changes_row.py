from preflight_ocr.harness.facts import Unknown
from preflight_ocr.harness.judging.findings import Skipped
from tests.specimens import altered
from tests.specimens.padding_changes_row import HEALTHY, SICK


def test_a_row_that_answers_otherwise_when_padded_is_reported(findings_of):
    [finding] = findings_of("padding_changes_row", SICK)
    assert finding.summary.startswith("DeepseekOCRForCausalLM gives the shortest row")


def test_a_row_that_does_not_is_silent(findings_of):
    assert findings_of("padding_changes_row", HEALTHY) == ()


def test_in_half_precision_it_is_skipped_not_passed(outcome_of):
    facts = altered(SICK, {"forward.behaviour.padding_changes": Unknown(reason="in half precision")})
    assert outcome_of("padding_changes_row", facts) == Skipped("in half precision")
