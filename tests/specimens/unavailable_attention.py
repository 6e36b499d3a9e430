"""sdpa asked of remote code that has eager and flash attention only; near it, flash attention where it works."""

from preflight_ocr.harness.facts import InstalledCard
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

HEALTHY = altered(
    RUN,
    {
        "configuration.attn_implementation": "flash_attention_2",
        "configuration.torch_dtype": "bfloat16",
        "configuration.use_cpu": False,
        "environment.packages.flash-attn": "2.7.3",
        "environment.cards": (InstalledCard(name="NVIDIA A100", capability="8.0", memory_bytes=40 << 30),),
    },
)
SICK = altered(RUN, {"configuration.attn_implementation": "sdpa"})
