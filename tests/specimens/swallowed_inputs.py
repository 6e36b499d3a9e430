"""A wrapper hands on four names and drops the rest; a healthy one drops only what nobody passes."""

from preflight_ocr.harness.facts import Raised, Wrapper
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

RAISED = Raised(type="TypeError", message="'NoneType' object is not subscriptable", site=None)


def wrap(*, dropped: tuple[str, ...]) -> Wrapper:
    return Wrapper(
        class_name="KeywordFilter",
        inner_class="DeepseekOCRForCausalLM",
        inner_name="model",
        dropped=dropped,
        same_outputs=True,
        shared_names=(),
    )


HEALTHY = altered(RUN, {"forward.wrapper": wrap(dropped=("use_cache", "past_key_values", "output_attentions"))})
SICK = altered(
    RUN,
    {
        "forward.wrapper": wrap(dropped=("images", "images_seq_mask", "images_spatial_crop", "use_cache")),
        "forward.given": RAISED,
        "forward.behaviour.image_reaches": (False, False),
        "adapter.inside_wrapper": True,
    },
)
