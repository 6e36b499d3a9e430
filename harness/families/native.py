"""transformers' own image-text-to-text families, one short declaration each.

What a processor and a chat template know is not repeated here. A declaration says how the configuration calls the family,
what its image arguments carry, and where it departs from the usual: a decoder that reads an image token, expanded by the
processor, inside its prompt.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from typing import Any

from preflight_ocr.harness.families.family import Family, Role
from preflight_ocr.harness.families.processed import ProcessorIntake

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
    strips: Collection[str] = (),
    target_marks: Mapping[str, int] | None = None,
) -> Family:
    """A native family. `name` is its model_type; of `strips` all pictures of a batch are one, joined side by side."""
    encodes = task_type == "SEQ_2_SEQ_LM"

    return Family(
        name=name,
        shown=shown,
        recognises=partial(_is_called, name=name, arguments=frozenset(roles)),
        roles=roles,
        auto_class=auto_class,
        task_type=task_type,
        open_intake=partial(
            ProcessorIntake,
            instruction=instruction,
            form=form,
            writes_prompt=writes_prompt,
            is_by_row=is_by_row,
            strips=frozenset(strips),
            encodes_prompt=encodes,
        ),
        encoder_decoder=encodes,
        target_marks=target_marks or {},
    )


def _is_called(
    parameter_names: frozenset[str], config_json: Mapping[str, Any], *, name: str, arguments: frozenset[str]
) -> bool:
    """`name` is a model_type, or `model_type+encoder_type` for one that is named by what it is put together from."""
    model_type, _, encoder = name.partition("+")
    if config_json.get("model_type") != model_type or "auto_map" in config_json:
        return False
    inside = (config_json.get("encoder") or {}).get("model_type")
    return (not encoder or inside == encoder) and parameter_names.issuperset(arguments)


_GRID: Mapping[str, Role] = {"pixel_values": "pixels", "image_grid_thw": "grid"}
_PIXELS: Mapping[str, Role] = {"pixel_values": "pixels"}

_SIZES: Mapping[str, Role] = {**_PIXELS, "image_sizes": "sizes"}
_ROWS: Mapping[str, Role] = {**_PIXELS, "pixel_attention_mask": "sizes"}
_FLAT: Mapping[str, Role] = {"flattened_patches": "pixels"}
_TILES: Mapping[str, Role] = {"pixel_values": "pixels", "pixel_values_local": "pixels", "num_local_patches": "sizes"}
_STRIP: Mapping[str, Role] = {"pixel_values": "pixels", "target_sizes": "sizes"}
_ASSISTANT = "USER: {image}\n{instruction} ASSISTANT:"
_SEQ_2_SEQ = "SEQ_2_SEQ_LM"

FAMILIES = (
    declare("qwen2_vl", "Qwen2-VL", _GRID),
    declare("qwen2_5_vl", "Qwen2.5-VL", _GRID),
    declare("qwen3_vl", "Qwen3-VL", _GRID),
    declare("got_ocr2", "GOT-OCR2", _PIXELS, form=None, writes_prompt=True),
    declare("deepseek_ocr2", "DeepSeek-OCR-2", _TILES, form="{image}\n{instruction}", instruction="Free OCR."),
    declare("unlimited_ocr", "Unlimited-OCR", _TILES, form="{image}\n{instruction}", instruction="Free OCR."),
    declare("glm_ocr", "GLM-OCR", _GRID),
    declare("lighton_ocr", "LightOn-OCR", _SIZES),
    declare("paddleocr_vl", "PaddleOCR-VL", _GRID),
    declare("qianfan_ocr", "Qianfan-OCR", _PIXELS),
    declare("minicpm_ocr", "MiniCPM-OCR", _STRIP, strips=("pixel_values",)),
    declare("idefics3", "Idefics3", _ROWS, is_by_row=True),
    declare("smolvlm", "SmolVLM", _ROWS, is_by_row=True),
    declare("internvl", "InternVL", _PIXELS),
    declare("llava", "LLaVA", _PIXELS, form=_ASSISTANT),
    declare("llava_next", "LLaVA-NeXT", _SIZES, form=_ASSISTANT),
    declare("paligemma", "PaliGemma", _PIXELS, form="{image}{instruction}", target_marks={"token_type_ids": 1}),
    declare("gemma3", "Gemma 3", _PIXELS),
    declare("kosmos-2.5", "Kosmos-2.5", _FLAT, instruction="<ocr>", form="{instruction}"),
    declare("florence2", "Florence-2", _PIXELS, task_type=_SEQ_2_SEQ, form="{instruction}"),
    declare("pix2struct", "Pix2Struct", _FLAT, task_type=_SEQ_2_SEQ, form=None),
    declare("vision-encoder-decoder+donut-swin", "Donut", _PIXELS, task_type=_SEQ_2_SEQ, form=None),
    declare("vision-encoder-decoder+vit", "TrOCR", _PIXELS, task_type=_SEQ_2_SEQ, form=None),
)
