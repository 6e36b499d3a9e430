from tests.specimens.uninstalled_package import SICK


def test_a_value_whose_package_is_absent_is_reported_with_what_to_install(findings_of):
    [finding] = findings_of("uninstalled_package", SICK)
    assert "pip install wandb" in finding.fix.instruction
    assert finding.keys == ("training.report_to",)
