from preflight_ocr.harness.judging.findings import Severity
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered
from tests.specimens.unpicklable_collator import SICK


def test_a_local_function_is_reported_with_the_pickling_error(findings_of):
    [finding] = findings_of("unpicklable_collator", SICK)
    assert finding.severity is Severity.MAJOR
    assert "Can't pickle local object" in finding.evidence[0]


def test_a_collator_that_pickles_is_silent(findings_of):
    assert findings_of("unpicklable_collator", RUN) == ()


def test_it_stops_training_where_workers_are_spawned_and_nothing_without_workers(findings_of):
    [spawned] = findings_of("unpicklable_collator", altered(SICK, {"environment.platform": "Windows-11"}))
    assert spawned.severity is Severity.BLOCKER
    [alone] = findings_of("unpicklable_collator", altered(SICK, {"configuration.dataloader_workers": 0}))
    assert alone.severity is Severity.MINOR
