from __future__ import annotations

import msgspec
import pytest

from preflight_ocr.harness.facts import Unknown
from preflight_ocr.harness.families.anatomy import unwrap
from preflight_ocr.harness.training.redirects import redirect_cuda
from preflight_ocr.probes.learning.learning import Step, _choose_batch
from preflight_ocr.probes.learning.recipe import draw_rates, look_at_recipe


def with_training(config, **changed):
    return msgspec.structs.replace(config, training=msgspec.structs.replace(config.training, **changed))


def test_a_schedule_is_drawn_as_the_trainer_walks_it(assemble):
    config = with_training(
        assemble().config, max_steps=10, learning_rate=1.0, lr_scheduler_type="linear", warmup_steps=2
    )
    rates = draw_rates(config, 10)
    assert rates[:3] == [0.0, 0.5, 1.0] and rates[-1] == pytest.approx(0.125)
    assert sum(draw_rates(config, 5000)) / 1000 == pytest.approx(0.5, abs=0.01)


def test_the_rate_decides_how_far_the_model_moves_and_leaves_it_as_it_was(assemble):
    parts = assemble()
    batch = _choose_batch(parts)
    adapted = parts.adapt()
    inner = unwrap(adapted)[0]
    before = [p.detach().clone() for p in inner.parameters() if p.requires_grad]

    def look(rate, **changed):
        return look_at_recipe(
            with_training(parts.config, learning_rate=rate, **changed), inner, Step(adapted, batch), batch
        )

    with redirect_cuda():  # this model's code names a device
        slow, usual, fast = look(2e-7), look(3e-3), look(5.0)
    assert slow.change < 3e-3 < 0.01 < usual.change
    assert usual.share < 0.2 < 1.0 < fast.share
    assert isinstance(look(3e-3, optim="sgd"), Unknown)
    assert all(
        bool((p == q).all()) for p, q in zip((p for p in inner.parameters() if p.requires_grad), before, strict=True)
    )
