"""Adapters in a tower that runs without gradients; a healthy tower gives them some."""

from preflight_ocr.harness.facts import Census, Target
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered


def adapt_vision(*, with_gradient: int, unreached: int = 0) -> dict[str, object]:
    vision = Census(
        part="vision",
        checkpointing=False,
        adapters=6,
        with_gradient=with_gradient,
        moved=with_gradient,
        unreached=unreached,
        idle={},
    )
    text = Census(part="attention", checkpointing=False, adapters=4, with_gradient=4, moved=4, unreached=0, idle={})
    return {
        "adapter.targets": (Target(name="q_proj", hits={"attention": 4}), Target(name="qkv", hits={"vision": 6})),
        "learning.census": (text, vision),
    }


HEALTHY = altered(RUN, adapt_vision(with_gradient=6))
SICK = altered(RUN, adapt_vision(with_gradient=0))
