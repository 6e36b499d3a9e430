"""The same parts on the card: what only shows where there are two devices, other kernels and other dtypes.

Everything here takes a `Card`. There is one for CUDA and one that stands in for it on a CPU, so that every line also runs
where there is no accelerator; what a CPU cannot measure is Unknown with that reason.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from preflight_ocr.probes.accelerator.card import Card, CpuCard, CudaCard, open_card
from preflight_ocr.probes.accelerator.look import look_at_accelerator
from preflight_ocr.probes.accelerator.moving import choose_part
from preflight_ocr.probes.workbench.assembly import Assembly

__all__ = ["Card", "CpuCard", "CudaCard", "look_at_accelerator", "observe", "open_card"]


def observe(config_path: str, trust: bool, folder: str, device: str) -> dict[str, object]:
    """Run in a child that may see the card: the Device and Accelerator facts as builtins.

    `device` is "cuda" or, to have everything but the measures on a CPU, "cpu". Accelerator is None where torch cannot use
    the card; Device then says why.
    """
    card = open_card(device)
    described = card.describe()
    if described.refused is not None:
        return {"device": msgspec.to_builtins(described), "accelerator": None}
    parts = choose_part(Assembly(config_path, trust=trust, folder=Path(folder)), Path(folder))
    facts = look_at_accelerator(parts, card, Path(folder))
    return {"device": msgspec.to_builtins(described), "accelerator": msgspec.to_builtins(facts)}
