"""A build of torch without CUDA beside a card; near it, one that takes the card."""

from preflight_ocr.harness.facts import Raised, Unknown
from tests.specimens import altered
from tests.specimens.healthy import ON_CARD as HEALTHY

REFUSED = Raised(type="AssertionError", message="Torch not compiled with CUDA enabled", site=None)

SICK = altered(
    HEALTHY,
    {
        "device.refused": REFUSED,
        "device.arch_list": (),
        "accelerator": Unknown(reason="torch cannot use the card: Torch not compiled with CUDA enabled"),
    },
)

__all__ = ["HEALTHY", "SICK"]
