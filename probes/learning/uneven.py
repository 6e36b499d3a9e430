"""What a batch without a picture leaves out, where processes that train together would wait for it.

Each of several processes has batches of its own. DDP that does not look for unused weights waits, for every trained weight,
until all processes have a gradient of it; FSDP and ZeRO-3 join the weights of a layer when all processes call it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import nn

from preflight_ocr.harness.facts import Raised, Uneven, Unknown
from preflight_ocr.probes.workbench.assembly import Assembly
from preflight_ocr.probes.workbench.calls import read_loss
from preflight_ocr.probes.workbench.tracing import attempt


def look_at_uneven(parts: Assembly, inner: nn.Module, target: Any, batch: Mapping[str, Any]) -> Uneven | Unknown | None:
    """The trained weights that a row without a picture gives no gradient, and `batch`, with pictures, does.

    None where nothing makes processes wait, or where the rows are all of one kind. Leaves no gradient.
    """
    if not (waits := find_waiting(parts.config.training.arguments)):
        return None
    bare: Any = attempt(parts.find_bare_row)
    if bare is None:
        return None
    collated = bare if isinstance(bare, Raised) else attempt(lambda: parts.seeded(parts.collate, [bare]))
    reached: list[Any] = [
        one if isinstance(one, Raised) else attempt(partial(_list_reached, inner, target, one))
        for one in (collated, batch)
    ]
    for ended in reached:
        if isinstance(ended, Raised):
            return Unknown(reason=f"a step with a row that has no picture raised {ended.type}: {ended.message}")
    trained = [name for name, parameter in inner.named_parameters() if parameter.requires_grad]
    left_out = [name for name in trained if name in reached[1] - reached[0]]
    counts: dict[str, int] = {}
    for name in left_out:
        part = parts.anatomy.part_of(name)
        counts[part] = counts.get(part, 0) + 1
    return Uneven(
        waits=waits,
        left_out=counts,
        example=left_out[0] if left_out else "",
        reached=len(reached[1]),
        trained=len(trained),
    )


def _list_reached(inner: nn.Module, target: Any, batch: Mapping[str, Any]) -> set[str]:
    """The trained weights that take part in the loss; a gradient of zeros is one too."""
    target.train()
    inner.zero_grad(set_to_none=True)
    loss = read_loss(target(**batch))
    if not isinstance(loss, torch.Tensor):
        raise TypeError("forward returned no loss")
    loss.backward()  # type: ignore[no-untyped-call]
    found = {name for name, parameter in inner.named_parameters() if parameter.grad is not None}
    inner.zero_grad(set_to_none=True)
    return found


def find_waiting(arguments: Mapping[str, Any]) -> str:
    """The key that makes several processes wait for each other's weights, as the file writes it; "" where none does.

    Trainer's own DDP looks for what a batch leaves out, unless the file says otherwise.
    """
    if arguments.get("fsdp"):
        return f"fsdp: {arguments['fsdp']}"
    if _read_stage(arguments.get("deepspeed")) == 3:
        return "deepspeed with ZeRO stage 3"
    return "ddp_find_unused_parameters: false" if arguments.get("ddp_find_unused_parameters") is False else ""


def _read_stage(given: Any) -> Any:
    """The stage of ZeRO in DeepSpeed's configuration, given as a mapping or as the path of a JSON file."""
    if isinstance(given, str):
        read = attempt(lambda: msgspec.json.decode(Path(given).read_bytes()))
        given = None if isinstance(read, Raised) else read
    section = given.get("zero_optimization") if isinstance(given, dict) else None
    return section.get("stage") if isinstance(section, dict) else None
