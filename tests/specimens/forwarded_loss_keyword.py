"""A wrapper that passes everything on, with and without what Trainer adds."""

from __future__ import annotations

from preflight_ocr.harness.facts import Wrapper
from tests.specimens import HEALTHY as BARE
from tests.specimens import altered

HEALTHY = altered(
    BARE,
    {
        "forward.wrapper": Wrapper(
            class_name="Wrapped",
            inner_class="DeepseekOCRForCausalLM",
            inner_name="model",
            dropped=(),
            same_outputs=True,
            shared_names=(),
        )
    },
)
SICK = altered(HEALTHY, {"adapter.loss_keyword": "num_items_in_batch"})
