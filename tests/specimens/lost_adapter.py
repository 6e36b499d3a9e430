"""Keys that carry a wrapper's name; near it, an adapter that never moved, which is another fault."""

from tests.specimens import HEALTHY, altered

__all__ = ["HEALTHY", "SICK"]

SICK = altered(
    HEALTHY,
    {
        "learning.round_trip.same_logits": False,
        "learning.round_trip.differs_from_base": False,
        "learning.round_trip.missing_keys": ("base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight",),
        "learning.round_trip.unexpected_keys": ("base_model.model.base_model.model.layers.0.self_attn.q_proj.lora_A",),
    },
)
