"""A helper tensor that forward makes on the CPU; near it, an entry that stays there and is never used."""

from preflight_ocr.harness.facts import Raised, Site, Stray
from tests.specimens import altered
from tests.specimens.healthy import ON_CARD as RUN

MESSAGE = "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu!"
RAISED = Raised(
    type="RuntimeError",
    message=MESSAGE,
    site=Site(
        file="modeling_deepseekv2.py", line=88, code="angles = positions * self.inverse_frequencies", kind="", runs=None
    ),
)
STRAYS = (Stray(owner="batch", path="images_spatial_crop", device="cpu", shape=(2, 2)),)

HEALTHY = altered(RUN, {"accelerator.strays": STRAYS})
SICK = altered(
    RUN,
    {
        "accelerator.strays": STRAYS,
        **{f"accelerator.precisions.{number}.step": RAISED for number in range(3)},
        "accelerator.attention.0.ended": RAISED,
        "accelerator.attention.1.ended": RAISED,
    },
)
