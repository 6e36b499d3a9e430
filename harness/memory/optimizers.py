"""How many bytes an optimizer keeps for one trained tensor, by the name that `training.optim` gives it.

What torch and transformers implement is run and counted; the rest comes from bitsandbytes, which is not needed to know its
layout: moments of one byte in blocks of 256 with a float32 scale each, float32 for tensors of fewer than 4096 elements,
and a table of 256 float32 values a moment (bitsandbytes, optim/optimizer.py, `Optimizer2State.init_state`).
"""

from __future__ import annotations

from collections.abc import Mapping

LIBRARY: Mapping[str, str] = {
    "adamw_torch": "adamw",
    "adamw_torch_fused": "adamw",
    "adamw_hf": "adamw",
    "sgd": "sgd",
    "rmsprop": "rmsprop",
    "adagrad": "adagrad",
    "adafactor": "adafactor",
}
"""optim -> the algorithm of torch or transformers that is run to see what it keeps."""

MOMENTS: Mapping[str, tuple[int, int]] = {
    "adamw_8bit": (2, 1), "adamw_bnb_8bit": (2, 1), "paged_adamw_8bit": (2, 1), "paged_adamw_32bit": (2, 4),
    "ademamix": (3, 4), "ademamix_8bit": (3, 1), "paged_ademamix_32bit": (3, 4),
    "paged_ademamix_8bit": (3, 1), "lion_32bit": (1, 4), "lion_8bit": (1, 1), "paged_lion_32bit": (1, 4),
    "paged_lion_8bit": (1, 1), "rmsprop_bnb": (1, 4), "rmsprop_bnb_8bit": (1, 1), "rmsprop_bnb_32bit": (1, 4),
}  # fmt: skip
"""optim -> how many moments bitsandbytes keeps, and in how many bytes an element."""

SMALLEST_8BIT, BLOCK, TABLE = 4096, 256, 256 * 4


def is_known(optim: str) -> bool:
    """Whether what this optimizer keeps can be told."""
    return optim in LIBRARY or optim in MOMENTS


def count_state_bytes(optim: str, elements: int, element_size: int, shape: tuple[int, ...]) -> int:
    """Bytes of states for a tensor of this shape whose elements have `element_size` bytes.

    An optimizer nobody knows counts as AdamW with states of the weight's own dtype.
    """
    moments, width = MOMENTS.get(optim, (0, 0))
    if not moments:
        return _count_library_bytes(LIBRARY.get(optim, "adamw"), elements, element_size, shape)
    if width == 1 and elements >= SMALLEST_8BIT:
        return moments * (elements + -(-elements // BLOCK) * 4 + TABLE)
    return moments * elements * 4


def _count_library_bytes(algorithm: str, elements: int, element_size: int, shape: tuple[int, ...]) -> int:
    if algorithm == "adafactor":  # a mean square by row and one by column, in place of one by element
        if len(shape) < 2:
            return elements * element_size
        return (elements // shape[-1] + elements // shape[-2]) * element_size
    return {"adamw": 2, "sgd": 0, "rmsprop": 1, "adagrad": 1}[algorithm] * elements * element_size
