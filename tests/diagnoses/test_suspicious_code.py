from fixtures.specimens.suspicious_code import SICK


def test_a_shell_command_is_reported_with_its_line(findings_of):
    [finding] = findings_of("suspicious_code", SICK)
    assert finding.evidence == ("runs a command: modeling.py:9: os.system(command)",)
