"""Gradients that no scaling brings into float16; near it, the same where only another precision was asked for."""

from tests.specimens import altered
from tests.specimens.healthy import ON_CARD as RUN

GRADIENTS = ("layers.0.self_attn.q_proj.lora_A.default.weight",)

HEALTHY = altered(RUN, {"accelerator.precisions.1.not_finite": GRADIENTS})
SICK = altered(
    RUN,
    {
        "configuration.fp16": True,
        "accelerator.precisions.0.name": "float32 weights, float16 autocast, scaler",
        "accelerator.precisions.0.not_finite": GRADIENTS,
    },
)
