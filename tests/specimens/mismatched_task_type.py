"""SEQ_2_SEQ_LM on a decoder."""

from preflight_ocr.harness.facts import Raised
from tests.specimens import HEALTHY, altered

__all__ = ["HEALTHY", "SICK"]

SICK = altered(
    HEALTHY,
    {
        "adapter.task_type": "SEQ_2_SEQ_LM",
        "adapter.injected": ("decoder_input_ids", "decoder_attention_mask"),
        "adapter.rejected": ("decoder_input_ids", "decoder_attention_mask"),
        "learning.training": Raised(
            type="TypeError", message="forward() got an unexpected keyword argument 'decoder_input_ids'", site=None
        ),
    },
)
