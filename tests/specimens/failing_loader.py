"""A collator that moves its tensors to the card, in a worker; near it, one whose workers are as many and silent."""

from preflight_ocr.harness.facts import Raised, Site
from tests.specimens import altered
from tests.specimens.healthy import ON_CARD as RUN

RAISED = Raised(
    type="RuntimeError",
    message="Cannot re-initialize CUDA in forked subprocess. To use CUDA with multiprocessing, you must use the 'spawn' "
    "start method",
    site=Site(
        file="user_parts.py",
        line=31,
        code="return {name: tensor.cuda() for name, tensor in batch.items()}",
        kind="",
        runs=None,
    ),
)

HEALTHY = altered(RUN, {"configuration.dataloader_workers": 2})
SICK = altered(HEALTHY, {"accelerator.loaders.1.ended": RAISED})
