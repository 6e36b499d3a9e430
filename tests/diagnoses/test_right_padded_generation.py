from preflight_ocr.harness.judging.findings import Severity
from tests.specimens import altered
from tests.specimens.right_padded_generation import CALL, HEALTHY, SICK


def test_right_padding_before_generation_is_reported(findings_of):
    [finding] = findings_of("right_padded_generation", SICK)
    assert finding.severity is Severity.MAJOR
    assert "left" in finding.fix.snippet


def test_it_is_minor_where_rows_come_one_at_a_time(findings_of):
    [finding] = findings_of("right_padded_generation", altered(SICK, {"configuration.batch_size": 1}))
    assert finding.severity is Severity.MINOR


def test_a_model_that_cannot_generate_is_silent(findings_of):
    assert findings_of("right_padded_generation", HEALTHY) == ()


def test_a_project_that_generates_nothing_itself_is_silent(findings_of):
    assert findings_of("right_padded_generation", altered(SICK, {"subject.generate_calls": ()})) == ()


def test_code_that_asks_for_the_left_side_is_silent(findings_of):
    assert findings_of("right_padded_generation", altered(SICK, {"subject.left_padding": (CALL,)})) == ()
