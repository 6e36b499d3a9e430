from tests.specimens import altered
from tests.specimens.non_boolean_mask import SICK


def test_a_float_mask_is_reported_by_name_with_the_conversion(findings_of):
    [finding] = findings_of("non_boolean_mask", SICK)
    assert finding.evidence == ("images_seq_mask: float32 tensor [2, 20], expected bool tensor [2, 20]",)
    assert finding.fix.snippet == 'batch["images_seq_mask"] = batch["images_seq_mask"].bool()'


def test_a_model_without_a_placement_mask_is_not_asked(findings_of):
    assert findings_of("non_boolean_mask", altered(SICK, {"collator.roles": {"pixel_values": "pixels"}})) == ()
