"""Saved equals trained: what moved in training against the numbers in the file, and new tokens that nothing trains."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from torch import nn

from preflight_ocr.harness.facts import AlikeRows, Raised, Unknown
from preflight_ocr.harness.training.quantising import is_packed
from preflight_ocr.probes.workbench.assembly import Assembly
from preflight_ocr.probes.workbench.tracing import attempt

ALIKE = 0.999  # cosine; rows of trained tokens stay below 0.7, rows drawn around their mean are above
MOST_TEXTS = 1000


def find_unsaved(inner: nn.Module, moved: Collection[str], folder: Path) -> tuple[str, ...] | Unknown:
    """The parameters in `moved` whose numbers are in no tensor of the adapter's file, whatever their names are there."""
    from safetensors.torch import load_file

    found = attempt(
        lambda: [t for path in sorted((folder / "adapter").glob("*.safetensors")) for t in load_file(path).values()]
    )
    if isinstance(found, Raised):
        return Unknown(reason=f"the saved file could not be read: {found.message}")
    if not found:
        return Unknown(reason="nothing was saved as safetensors")
    by_shape: dict[torch.Size, list[torch.Tensor]] = {}
    for tensor in found:
        by_shape.setdefault(tensor.shape, []).append(tensor)

    def is_saved(parameter: nn.Parameter) -> bool:
        mine = parameter.detach().cpu()
        return any(torch.equal(mine.to(t.dtype), t) for t in by_shape.get(mine.shape, ()))

    return tuple(name for name, p in inner.named_parameters() if name in moved and not is_saved(p))


def find_alike_rows(parts: Assembly, inner: nn.Module) -> AlikeRows | Unknown:
    """Rows of the output head, of tokens that the training texts use, that are all but equal to one another."""
    if parts.built.weights != "real":
        return Unknown(reason="the weights are random: no row of the head says anything")
    head: Any = inner.get_output_embeddings()  # type: ignore[operator]
    weight = getattr(head, "weight", None)
    if is_packed(weight):
        return Unknown(reason="the output head's weight is packed")
    if not isinstance(weight, torch.Tensor) or weight.dim() != 2:
        return Unknown(reason="the model has no output head with a row for each token")
    texts = parts.list_texts(MOST_TEXTS)
    used = sorted({i for text in texts for i in parts.tokenizer.encode(text, add_special_tokens=False)})
    used = [i for i in used if i < len(weight)]
    rows = torch.nn.functional.normalize(weight.detach()[used].float(), dim=-1)
    near = rows @ rows.T
    near.fill_diagonal_(0.0)
    ids = [i for i, is_alike in zip(used, (near.amax(1) > ALIKE).tolist(), strict=True) if is_alike] if used else []
    shared = head.weight.data_ptr() == inner.get_input_embeddings().weight.data_ptr()  # type: ignore[operator]
    here = {"head", "embedding"} if shared else {"head"}
    trained = any(p.requires_grad and parts.anatomy.part_of(name) in here for name, p in inner.named_parameters())
    return AlikeRows(
        ids=tuple(ids),
        tokens=tuple(str(parts.tokenizer.decode([i])) for i in ids[:20]),
        used=len(used),
        trained=trained,
    )
