"""How long the rows become: seen in a child, from a batch of our own collator. Imports torch."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any


def measure(config_path: str, trust: bool, folder: str, rows: list[int]) -> dict[str, Any]:
    """The tokens of the longest of these rows, each alone in its batch, and the linear layers of a decoder block.

    `family` is None where none declares the model; `longest` is then None too.
    """
    from preflight_ocr.probes.workbench.assembly import Assembly

    assembly = Assembly(config_path, trust=trust, folder=Path(folder))
    parts = Counter(
        (name.rpartition(".")[2], part)
        for name in assembly.list_carriers()
        if (part := assembly.anatomy.part_of(name)) in ("attention", "mlp")
    )
    targets = sorted({name for name, _ in parts})
    collate = assembly.reference
    longest = None
    if collate is not None:
        lengths = [int(collate([assembly.rows[index]])["labels"].shape[-1]) for index in rows]
        longest = max(lengths, default=None)
    return {"family": assembly.family.shown if assembly.family else None, "longest": longest, "targets": targets}
