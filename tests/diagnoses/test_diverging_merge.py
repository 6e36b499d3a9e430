from tests.specimens import altered
from tests.specimens.diverging_merge import SICK


def test_a_merge_that_changes_the_logits_is_reported(findings_of):
    [finding] = findings_of("diverging_merge", SICK)
    assert "PeftModel.from_pretrained" in finding.fix.snippet


def test_tied_weights_under_the_adapter_are_named(findings_of):
    [finding] = findings_of("diverging_merge", altered(SICK, {"adapter.on_tied_weights": ("lm_head",)}))
    assert finding.evidence == ("adapter on tied weights: lm_head",)
