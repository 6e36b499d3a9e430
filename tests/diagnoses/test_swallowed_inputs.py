from preflight_ocr.harness.judging.findings import NotApplicable
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered
from tests.specimens.swallowed_inputs import HEALTHY, SICK


def test_a_dropped_image_argument_is_reported_with_the_wrapper_that_drops_it(findings_of):
    [finding] = findings_of("swallowed_inputs", SICK)
    assert finding.summary.startswith("KeywordFilter accepts `images`, `images_seq_mask`, `images_spatial_crop`")
    assert not any("use_cache" in line for line in finding.evidence)


def test_a_wrapper_that_drops_only_what_no_batch_has_is_silent(findings_of):
    assert findings_of("swallowed_inputs", HEALTHY) == ()


def test_without_a_wrapper_there_is_no_contract(outcome_of):
    assert isinstance(outcome_of("swallowed_inputs", RUN), NotApplicable)


def test_a_wrapper_that_computes_the_loss_itself_may_keep_the_labels(findings_of):
    own_loss = altered(SICK, {"forward.wrapper.dropped": ("labels",), "forward.given": "ok"})
    assert findings_of("swallowed_inputs", own_loss) == ()
