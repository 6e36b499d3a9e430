"""An adapter on the vision part, rows of both kinds, and DDP that does not look for unused weights."""

from preflight_ocr.harness.facts import Uneven
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

__all__ = ["HEALTHY", "SICK"]

UNEVEN = Uneven(
    waits="ddp_find_unused_parameters: false",
    left_out={"vision": 20, "projector": 4},
    example="model.visual.blocks.0.attn.qkv.lora_A.default.weight",
    reached=52,
    trained=52,
)
SICK = altered(RUN, {"learning.uneven": UNEVEN})
HEALTHY = altered(SICK, {"learning.uneven.left_out": {}, "learning.uneven.example": ""})
