"""A lower bound of what a training step holds at its peak, counted and not guessed.

Weights, gradients and optimizer states follow from the parameters; what backward keeps is counted with saved-tensor hooks
on a real forward. Activations grow with the batch in proportion, so rows of the sample stand for rows of a batch.
"""

from __future__ import annotations

from typing import Any

import torch

from harness.facts import MemoryNeed, Unknown
from probes.assembly import Assembly
from probes.parts import find_embeddings

OPTIMIZER_STATES = {"sgd": 0, "adafactor": 0, "lion_32bit": 1, "adamw_8bit": 0.5, "paged_adamw_8bit": 0.5}
ADAM_STATES = 2  # exp_avg and exp_avg_sq, in the dtype of the trained weights


def measure_need(parts: Assembly, adapted: Any, step: Any) -> MemoryNeed | Unknown:
    """Bytes at the configured batch size. Unknown for a cut model: its lists of blocks are shorter than the real ones."""
    if parts.built.cut:
        return Unknown(reason="the model was cut to a miniature; its memory says nothing about the full one")
    weights = {id(p): p for p in adapted.parameters()}.values()
    trained = [p for p in weights if p.requires_grad]
    kept: dict[tuple[int, int], int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if id(tensor) not in own and storage.data_ptr() not in own_storages:
            kept[(storage.data_ptr(), storage.nbytes())] = storage.nbytes()
        return tensor

    own = {id(p) for p in weights}
    own_storages = {p.untyped_storage().data_ptr() for p in weights}
    with torch.autograd.graph.saved_tensors_hooks(note, lambda t: t):
        loss = step()
    del loss
    batch_size = parts.config.training.per_device_train_batch_size
    rows = len(parts.sample)
    ids = parts.seeded(parts.reference, parts.sample).get(parts.reader.sequence) if parts.reference else None
    longest = int(ids.shape[1]) if isinstance(ids, torch.Tensor) else 0
    vocabulary = int(find_embeddings(parts.bare).weight.shape[0])
    states = OPTIMIZER_STATES.get(parts.config.training.optim or "", ADAM_STATES)
    trained_bytes = sum(p.numel() * p.element_size() for p in trained)
    return MemoryNeed(
        weights=sum(p.numel() * p.element_size() for p in weights),
        gradients=trained_bytes,
        optimizer=int(trained_bytes * states),
        activations=sum(kept.values()) * batch_size // rows,
        logits=batch_size * longest * vocabulary * 4,
        batch_size=batch_size,
        longest_row=longest,
    )
