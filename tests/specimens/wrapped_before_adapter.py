"""PEFT around a wrapper; a healthy wrapper stands around PEFT."""

from preflight_ocr.harness.facts import Wrapper
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

WRAPPER = Wrapper(
    class_name="KeywordFilter",
    inner_class="DeepseekOCRForCausalLM",
    inner_name="model",
    dropped=(),
    same_outputs=True,
    shared_names=(),
)

HEALTHY = altered(RUN, {"forward.wrapper": WRAPPER})
SICK = altered(
    RUN,
    {
        "forward.wrapper": WRAPPER,
        "adapter.inside_wrapper": True,
        "adapter.key_example": "base_model.model.model.model.layers.0.self_attn.q_proj.lora_A.weight",
        "learning.round_trip.same_logits": False,
    },
)
