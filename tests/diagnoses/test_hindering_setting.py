from preflight_ocr.harness.facts import Unknown
from preflight_ocr.harness.judging.findings import Kept, Skipped
from tests.specimens import altered
from tests.specimens.hindering_setting import HEALTHY, SICK


def test_the_setting_is_named_and_set_back(findings_of):
    [finding] = findings_of("hindering_setting", SICK)
    assert "`min_length: 56`" in finding.summary
    assert finding.fix.snippet == "model.generation_config.min_length = 0"


def test_settings_that_change_nothing_are_right(outcome_of):
    assert isinstance(outcome_of("hindering_setting", HEALTHY), Kept)


def test_where_the_model_does_not_write_it_anyway_no_setting_is_blamed(outcome_of):
    assert isinstance(outcome_of("hindering_setting", altered(SICK, {"learning.recital.read": (3,)})), Skipped)


def test_a_generation_that_raises_with_the_models_settings_is_no_answer(outcome_of):
    facts = altered(HEALTHY, {"learning.recital.hindering": Unknown(reason="generate raised")})
    assert isinstance(outcome_of("hindering_setting", facts), Skipped)
