"""LlamaFlashAttention2, gone from transformers; near it, the same import under a condition."""

import msgspec

from preflight_ocr.harness.facts import Import
from tests.specimens import HEALTHY as RUN
from tests.specimens import altered

GONE = Import(
    module="transformers.models.llama.modeling_llama",
    name="LlamaFlashAttention2",
    file="modeling_deepseekv2.py",
    line=42,
    conditional=False,
    status="missing name",
    detail="transformers 5.23.0 has no such name",
)

HEALTHY = altered(RUN, {"repository.imports": (msgspec.structs.replace(GONE, conditional=True),)})
SICK = altered(RUN, {"repository.imports": (GONE,)})
