from preflight_ocr.harness.facts import Unknown
from preflight_ocr.harness.judging.findings import Skipped
from tests.specimens import altered
from tests.specimens.checkpointing_starves import HEALTHY, SICK


def test_a_part_that_loses_its_gradient_is_reported_with_both_counts(findings_of):
    [finding] = findings_of("checkpointing_starves", SICK)
    assert finding.evidence == ("attention: 4 of 4 adapters with a gradient without checkpointing, 0 with it",)


def test_checkpointing_nobody_asked_for_is_silent(findings_of):
    assert findings_of("checkpointing_starves", HEALTHY) == ()


def test_gradients_that_were_not_counted_are_skipped_not_passed(outcome_of):
    blind = altered(SICK, {"learning.census": Unknown(reason="could not be looked at")})
    assert outcome_of("checkpointing_starves", blind) == Skipped("could not be looked at")
