from preflight_ocr.harness.judging.findings import Skipped
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered
from tests.specimens.frozen_adapter import HEALTHY, SICK
from tests.specimens.untrainable_vision_adapters import adapt_vision


def test_adapters_without_a_gradient_are_counted_by_part(findings_of):
    [finding] = findings_of("frozen_adapter", SICK)
    assert finding.evidence == ("attention: 4 of 4 adapters have no gradient",)


def test_experts_that_no_token_reached_are_silent(findings_of):
    assert findings_of("frozen_adapter", HEALTHY) == ()


def test_adapters_that_the_optimizer_does_not_know_are_found(findings_of):
    [finding] = findings_of("frozen_adapter", altered(RUN, {"learning.census.0.moved": 0}))
    assert finding.evidence == ("attention: 4 adapters have a gradient and none moved",)


def test_without_any_label_no_gradient_can_be_seen(outcome_of):
    unlabelled = altered(SICK, {f"collator.batch.rows.{row}.trained": "0" * 20 for row in (0, 1)})
    assert outcome_of("frozen_adapter", unlabelled) == Skipped("no label is trained on, so no gradient could be seen")


def test_the_block_at_which_the_gradient_ends_is_named_also_where_only_vision_adapters_lie_before_it(findings_of):
    ended = altered(RUN, adapt_vision(with_gradient=0) | {"learning.severed": ("model.layers.0", "model.layers.1")})
    [finding] = findings_of("frozen_adapter", ended)
    assert finding.evidence == (
        "the gradient does not get through model.layers.0",
        "vision: 6 of 6 adapters have no gradient",
    )
    assert findings_of("untrainable_vision_adapters", ended) == ()
