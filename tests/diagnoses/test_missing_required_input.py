from preflight_ocr.harness.facts import Delta
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered
from tests.specimens.missing_required_input import SICK


def test_a_mask_of_none_is_reported_with_the_form_it_should_have(findings_of):
    [finding] = findings_of("missing_required_input", SICK)
    assert finding.evidence == ("images_seq_mask: None, expected bool tensor [2, 20]",)
    assert 'batch["images_seq_mask"]' in finding.fix.snippet


def test_an_absent_argument_without_a_role_is_silent(findings_of):
    position = Delta(
        argument="position_ids", path="position_ids", kind="missing", seen="absent", expected="int64 tensor"
    )
    assert findings_of("missing_required_input", altered(RUN, {"collator.deltas": (position,)})) == ()


def test_a_misspelt_name_that_forward_swallows_is_named_in_the_evidence(findings_of):
    deltas = (
        Delta(argument="image", path="image", kind="unexpected", seen="list of 2", expected="no such argument"),
        Delta(argument="images", path="images", kind="missing", seen="absent", expected="list of 2"),
    )
    [finding] = findings_of("missing_required_input", altered(RUN, {"collator.deltas": deltas}))
    assert "forward swallows an unknown `image`" in finding.evidence
