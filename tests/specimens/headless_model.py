"""What AutoModel gives for a model whose class with a head is another."""

from preflight_ocr.harness.facts import Raised
from tests.specimens import HEALTHY, altered

__all__ = ["HEALTHY", "SICK"]

SICK = altered(
    HEALTHY,
    {
        "forward.returned": ("last_hidden_state", "past_key_values"),
        "forward.model_class": "Qwen2VLModel",
        "rehearsal.step": Raised(
            type="ValueError", message="The model did not return a loss from the inputs.", site=None
        ),
    },
)
