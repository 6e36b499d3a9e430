"""A model spread over two cards; near it, the same model on one card."""

from preflight_ocr.harness.facts import InstalledCard
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

CARD = InstalledCard(name="NVIDIA A100", capability="8.0", memory_bytes=40 << 30)

HEALTHY = altered(
    RUN, {"configuration.use_cpu": False, "configuration.device_map": "auto", "environment.cards": (CARD,)}
)
SICK = altered(HEALTHY, {"environment.cards": (CARD, CARD)})
