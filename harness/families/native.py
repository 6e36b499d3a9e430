"""transformers' own image-text-to-text families, one short declaration each.

What a processor and a chat template know is not repeated here. A declaration says how the configuration calls the family,
what its image arguments carry, and where it departs from the usual: a decoder that reads an image token, expanded by the
processor, inside its prompt.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from harness.families.family import Family, Role
from harness.families.processed import ProcessorIntake

INSTRUCTION = "Read the text in the image."


def declare(
    name: str,
    shown: str,
    roles: Mapping[str, Role],
    *,
    auto_class: str = "AutoModelForImageTextToText",
    task_type: str = "CAUSAL_LM",
    instruction: str = INSTRUCTION,
    form: str | None = "{image}{instruction}",
    writes_prompt: bool = False,
    is_by_row: bool = False,
    target_marks: Mapping[str, int] | None = None,
    encoder_type: str | None = None,
) -> Family:
    """A native family. `name` is its model_type; `encoder_type` that of its encoder, where only the two together name it."""
    encodes = task_type == "SEQ_2_SEQ_LM"

    def recognise(parameter_names: frozenset[str], config_json: Mapping[str, Any]) -> bool:
        model_type, _, encoder = name.partition("+")
        is_it = config_json.get("model_type") == model_type and "auto_map" not in config_json
        inside = (config_json.get("encoder") or {}).get("model_type")
        return is_it and (not encoder or inside == encoder) and parameter_names.issuperset(roles)

    return Family(
        name=name,
        shown=shown,
        recognises=recognise,
        roles=roles,
        auto_class=auto_class,
        task_type=task_type,
        open_intake=partial(
            ProcessorIntake,
            instruction=instruction,
            form=form,
            writes_prompt=writes_prompt,
            is_by_row=is_by_row,
            encodes_prompt=encodes,
        ),
        encoder_decoder=encodes,
        target_marks=target_marks or {},
    )


_GRID: Mapping[str, Role] = {"pixel_values": "pixels", "image_grid_thw": "grid"}
_PIXELS: Mapping[str, Role] = {"pixel_values": "pixels"}

FAMILIES = (
    declare("qwen2_vl", "Qwen2-VL", _GRID),
    declare("qwen2_5_vl", "Qwen2.5-VL", _GRID),
    declare("qwen3_vl", "Qwen3-VL", _GRID),
    declare("got_ocr2", "GOT-OCR2", _PIXELS, form=None, writes_prompt=True),
    declare("llava", "LLaVA", _PIXELS, form="USER: {image}\n{instruction} ASSISTANT:"),
    declare("idefics3", "Idefics3", {**_PIXELS, "pixel_attention_mask": "sizes"}, is_by_row=True),
)
