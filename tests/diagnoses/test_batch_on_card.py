from preflight_ocr.harness.judging.findings import Severity
from tests.specimens import altered
from tests.specimens.batch_on_card import HEALTHY, SICK


def test_the_entry_is_named_with_its_shape_and_the_line_that_moved_it(findings_of):
    [finding] = findings_of("batch_on_card", SICK)
    assert "images[0][1], float32 [1, 3, 64, 64], and 1 more on the accelerator" in finding.summary
    assert "collate.py:31" in finding.summary
    assert finding.severity is Severity.BLOCKER


def test_the_fix_is_the_line_without_the_call(findings_of):
    [finding] = findings_of("batch_on_card", SICK)
    assert finding.fix.snippet == 'batch["pixels"] = torch.stack(views)'


def test_where_no_line_is_known_the_entry_is_reported_all_the_same(findings_of):
    sick = altered(SICK, {"forward.placement.returned.0.site": None, "forward.placement.returned.1.site": None})
    [finding] = findings_of("batch_on_card", sick)
    assert finding.places == ()


def test_without_pinning_and_without_workers_it_is_only_fragile(findings_of):
    [finding] = findings_of("batch_on_card", altered(SICK, {"configuration.pins_memory": False}))
    assert finding.severity is Severity.MINOR
    both = {"configuration.pins_memory": False, "configuration.dataloader_workers": 2}
    [finding] = findings_of("batch_on_card", altered(SICK, both))
    assert finding.severity is Severity.BLOCKER


def test_a_batch_on_the_cpu_is_silent(findings_of):
    assert findings_of("batch_on_card", HEALTHY) == ()
