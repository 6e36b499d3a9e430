from tests.specimens import HEALTHY as RUN
from tests.specimens.failing_adapter import SICK


def test_a_container_hit_by_name_is_explained(findings_of):
    [finding] = findings_of("failing_adapter", SICK)
    assert "ModuleList() is not supported" in finding.summary
    assert finding.evidence == ("layers: 2 modules",)


def test_an_adapter_that_fits_is_silent(findings_of):
    assert findings_of("failing_adapter", RUN) == ()
