from preflight_ocr.harness.facts import Unknown
from preflight_ocr.harness.judging.findings import Skipped
from tests.specimens import altered
from tests.specimens.failing_generate import HEALTHY, SICK


def test_a_generate_that_fails_is_reported_with_the_call_in_the_users_code(findings_of):
    [finding] = findings_of("failing_generate", SICK)
    assert "get_max_length" in finding.summary and finding.evidence == ("evaluate.py:12: model.generate(**prompts)",)


def test_a_project_that_generates_nothing_itself_is_silent(findings_of):
    assert findings_of("failing_generate", HEALTHY) == ()


def test_a_generate_that_was_not_tried_is_skipped_not_passed(outcome_of):
    blind = altered(SICK, {"forward.generation": Unknown(reason="could not be looked at")})
    assert outcome_of("failing_generate", blind) == Skipped("could not be looked at")
