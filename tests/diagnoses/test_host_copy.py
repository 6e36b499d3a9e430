from preflight_ocr.harness.facts import Origin
from tests.specimens import altered
from tests.specimens.host_copy import HEALTHY, SICK


def test_the_line_is_named_and_the_fix_copies_first(findings_of):
    [finding] = findings_of("host_copy", SICK)
    assert "int64 [2] on the accelerator" in finding.summary and "wrapper.py:20" in finding.summary
    assert finding.fix.snippet == "lengths = attention_mask.sum(1).cpu().numpy()"


def test_an_entry_of_the_batch_is_called_by_its_name(findings_of):
    origin = Origin(kind="entry", name="images_spatial_crop", site=None, call="")
    [finding] = findings_of("host_copy", altered(SICK, {"forward.placement.host_copies.0.origin": origin}))
    assert finding.summary.startswith("images_spatial_crop, int64 [2]")


def test_nothing_taken_to_numpy_is_silent(findings_of):
    assert findings_of("host_copy", HEALTHY) == ()
