from preflight_ocr.harness.facts import Unknown
from preflight_ocr.harness.judging.findings import Skipped
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered
from tests.specimens.unheard_text import SICK


def test_a_row_whose_text_changes_nothing_is_named(findings_of):
    [finding] = findings_of("unheard_text", SICK)
    assert finding.evidence == ("row 1: the text does not reach the logits",)


def test_text_that_changes_the_logits_is_silent(findings_of):
    assert findings_of("unheard_text", RUN) == ()


def test_a_model_that_was_not_run_is_skipped_not_passed(outcome_of):
    blind = altered(SICK, {"forward.behaviour": Unknown(reason="could not be looked at")})
    assert outcome_of("unheard_text", blind) == Skipped("could not be looked at")
