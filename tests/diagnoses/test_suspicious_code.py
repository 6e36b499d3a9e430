from preflight_ocr.harness.judging.findings import Severity
from tests.specimens import altered
from tests.specimens.suspicious_code import SICK


def test_a_shell_command_is_reported_with_its_line(findings_of):
    [finding] = findings_of("suspicious_code", SICK)
    assert finding.evidence == ("runs a command: modeling.py:9: os.system(command)",)


def test_a_place_that_neither_loading_nor_forward_reaches_is_a_note(findings_of):
    facts = altered(SICK, {"repository.suspicious.0.runs": False})
    [finding] = findings_of("suspicious_code", facts)
    assert finding.severity is Severity.NOTE
