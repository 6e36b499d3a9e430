from tests.specimens import HEALTHY
from tests.specimens.missing_requirement import SICK


def test_missing_packages_are_one_finding_with_one_command(findings_of):
    [finding] = findings_of("missing_requirement", SICK)
    assert finding.fix.snippet == "pip install easydict opencv-python"
    assert "deepencoder.py:7 imports easydict" in finding.evidence


def test_a_package_that_the_code_can_do_without_is_silent(findings_of):
    assert any(i.status == "missing package" for i in HEALTHY.repository.imports)
    assert findings_of("missing_requirement", HEALTHY) == ()
