"""A checkpoint of rank 16 for a run of rank 8; near it, this run's own, saved under an absolute path."""

from preflight_ocr.harness.facts import Checkpoint
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

OWN = Checkpoint(
    path="outputs/checkpoint-100",
    base_model="/home/me/models/deepseek_ocr/",
    peft_type="LORA",
    r=8,
    target_modules=("v_proj", "q_proj"),
)

HEALTHY = altered(RUN, {"configuration.checkpoints": (OWN,)})
SICK = altered(HEALTHY, {"configuration.checkpoints.0.r": 16})
