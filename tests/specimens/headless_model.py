"""What AutoModel gives for a model whose class with a head is another."""

from tests.specimens import HEALTHY, altered

__all__ = ["HEALTHY", "SICK"]

SICK = altered(
    HEALTHY, {"forward.returned": ("last_hidden_state", "past_key_values"), "forward.model_class": "Qwen2VLModel"}
)
