"""A wrapper holds the model twice; a healthy one holds a model that ties modules inside itself."""

from preflight_ocr.harness.facts import Wrapper
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered


def wrap(shared: tuple[str, str]) -> Wrapper:
    return Wrapper(
        class_name="OCRWrapper",
        inner_class="DeepseekOCRForCausalLM",
        inner_name="model",
        shared_names=(shared,),
        dropped=(),
        same_outputs=True,
    )


HEALTHY = altered(RUN, {"forward.wrapper": wrap(("model.shared", "model.decoder.embed_tokens"))})
SICK = altered(
    RUN,
    {
        "forward.wrapper": wrap(("base_model", "model")),
        "adapter.inside_wrapper": True,
        "learning.round_trip.same_logits": False,
        "learning.round_trip.unexpected_keys": ("base_model.model.base_model.model.layers.0.q_proj.lora_A.weight",),
    },
)
