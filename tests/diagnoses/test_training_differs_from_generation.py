from preflight_ocr.harness.facts import Unknown
from preflight_ocr.harness.judging.findings import Skipped
from tests.specimens import altered
from tests.specimens.training_differs_from_generation import HEALTHY, SICK

LEFT_OUT = altered(
    SICK,
    {
        "collator.batch.keys": HEALTHY.collator.batch.keys,
        "forward.agreement.mended_by": ("token_type_ids",),
    },
)


def test_an_entry_without_which_both_agree_is_to_be_left_out(findings_of):
    [finding] = findings_of("training_differs_from_generation", SICK)
    assert "Without `position_ids` in the batch they are the same" in finding.summary
    assert finding.fix.snippet == 'batch.pop("position_ids")'


def test_an_entry_with_which_both_agree_is_to_be_handed_on(findings_of):
    [finding] = findings_of("training_differs_from_generation", LEFT_OUT)
    assert "the collator leaves it out" in finding.summary and "token_type_ids" in finding.fix.snippet


def test_an_entry_that_the_collator_changed_is_to_be_handed_on_as_the_processor_gives_it(findings_of):
    facts = altered(SICK, {"forward.agreement.mended_by": ("images",)})
    [finding] = findings_of("training_differs_from_generation", facts)
    assert "With the processor's `images` in the batch they are the same" in finding.summary


def test_two_start_tokens_are_named(findings_of):
    facts = altered(SICK, {"forward.agreement.starts": (2, 0), "forward.agreement.mended_by": ()})
    [finding] = findings_of("training_differs_from_generation", facts)
    assert "starts the decoder with token 2" in finding.summary and "generation with token 0" in finding.summary


def test_a_difference_that_no_entry_accounts_for_says_so(findings_of):
    [finding] = findings_of("training_differs_from_generation", altered(SICK, {"forward.agreement.mended_by": ()}))
    assert "No single entry of the batch accounts for it" in finding.summary


def test_rounding_is_no_difference(findings_of):
    assert findings_of("training_differs_from_generation", HEALTHY) == ()
    rounded = altered(HEALTHY, {"forward.agreement.along": (9e-4, 0.0, 0.0)})
    assert findings_of("training_differs_from_generation", rounded) == ()


def test_what_could_not_be_read_is_skipped_not_passed(outcome_of):
    facts = altered(SICK, {"forward.agreement": Unknown(reason="another prompt")})
    assert outcome_of("training_differs_from_generation", facts) == Skipped("another prompt")
