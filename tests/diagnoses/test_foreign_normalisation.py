from preflight_ocr.harness.judging.findings import Skipped
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered
from tests.specimens.foreign_normalisation import HEALTHY, SICK


def test_imagenet_constants_are_reported_by_name_with_those_expected(findings_of):
    [finding] = findings_of("foreign_normalisation", SICK)
    assert "ImageNet's mean 0.485, 0.456, 0.406" in finding.summary
    assert "expected mean 0.5, 0.5, 0.5" in finding.summary
    assert len(finding.evidence) == 2


def test_a_small_error_of_the_regression_is_silent(findings_of):
    assert findings_of("foreign_normalisation", HEALTHY) == ()


def test_pages_that_were_not_recognised_are_skipped_not_passed(outcome_of):
    changes = {f"collator.views.{row}.{name}": None for row in (0, 1) for name in ("mean", "std")}
    assert outcome_of("foreign_normalisation", altered(RUN, changes)) == Skipped("no page was recognised in the batch")


def test_pages_whose_brightness_was_changed_one_by_one_are_skipped(outcome_of):
    brighter = altered(SICK, {"collator.views.1.mean": (0.6, 0.57, 0.5), "collator.views.1.std": (0.28, 0.28, 0.28)})
    assert isinstance(outcome_of("foreign_normalisation", brighter), Skipped)


def test_numbers_that_nobody_uses_are_not_believed_of_one_page_alone(outcome_of, findings_of):
    alone = {"collator.views.0.mean": None, "collator.views.0.std": None}
    assert findings_of("foreign_normalisation", altered(SICK, alone))  # ImageNet's
    darker = alone | {"collator.views.1.mean": (0.5, 0.5, 0.5), "collator.views.1.std": (0.593, 0.594, 0.59)}
    assert isinstance(outcome_of("foreign_normalisation", altered(SICK, darker)), Skipped)


def test_pages_that_are_darker_by_one_factor_are_skipped(outcome_of):
    darker = {f"collator.views.{row}.{name}": (0.535, 0.53, 0.54) for row in (0, 1) for name in ("mean", "std")}
    assert isinstance(outcome_of("foreign_normalisation", altered(SICK, darker)), Skipped)
