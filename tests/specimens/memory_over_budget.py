"""A float32 model at batch size 4 for a card of 16 GiB; near it, one that just fits."""

from preflight_ocr.harness.facts import MemoryNeed
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered
from tests.specimens.healthy import GIB

NEED = MemoryNeed(
    weights=10 * GIB, gradients=GIB, optimizer=GIB, activations=8 * GIB, logits=GIB, batch_size=4, longest_row=1200
)

HEALTHY = altered(RUN, {"memory": NEED, "configuration.budget_bytes": 21 * GIB})
SICK = altered(RUN, {"memory": NEED, "configuration.budget_bytes": 16 * GIB, "configuration.batch_size": 4})
