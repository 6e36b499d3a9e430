from preflight_ocr.harness.judging.findings import Severity
from tests.specimens import HEALTHY, altered
from tests.specimens.failing_final_save import SICK


def test_a_generation_configuration_that_is_refused_stops_no_adapter(findings_of):
    [finding] = findings_of("failing_final_save", SICK)
    assert finding.severity is Severity.MAJOR
    assert "generation_config.json" in finding.fix.instruction


def test_a_model_that_cannot_be_saved_is_a_blocker_unless_its_checkpoint_said_so(findings_of):
    raised = SICK.rehearsal.generation_config
    lost = altered(HEALTHY, {"rehearsal.saving": raised})
    [finding] = findings_of("failing_final_save", lost)
    assert (finding.severity, finding.owners) == (Severity.BLOCKER, ())
    [finding] = findings_of("failing_final_save", altered(lost, {"rehearsal.checkpoint": raised}))
    assert finding.owners == ("failing_checkpoint",)
