from preflight_ocr.harness.judging.findings import Skipped
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered
from tests.specimens.flat_loss import HEALTHY, SICK


def test_a_loss_that_stays_is_reported_with_its_course(findings_of):
    [finding] = findings_of("flat_loss", SICK)
    assert finding.evidence == ("losses: 6.25, 6.25, 6.25",)


def test_a_loss_that_falls_a_little_is_silent(findings_of):
    assert findings_of("flat_loss", HEALTHY) == ()


def test_a_single_loss_is_skipped_not_passed(outcome_of):
    assert outcome_of("flat_loss", altered(RUN, {"learning.losses": (6.25,)})) == Skipped(
        "fewer than two steps were taken"
    )


def test_a_loss_of_zero_is_no_success(findings_of):
    assert len(findings_of("flat_loss", altered(RUN, {"learning.losses": (0.0, 0.0)}))) == 1
