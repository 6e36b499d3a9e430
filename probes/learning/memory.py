"""A lower bound of what a training step holds at its peak, counted and not guessed.

Weights, gradients and optimizer states follow from the parameters; what backward keeps is counted with saved-tensor hooks
on a real forward. Activations grow with the batch in proportion, so rows of the sample stand for rows of a batch.
"""

from __future__ import annotations

from typing import Any

import torch

from preflight_ocr.harness.facts import MemoryNeed
from preflight_ocr.harness.families.anatomy import find_embeddings
from preflight_ocr.probes.workbench.assembly import Assembly

OPTIMIZER_STATES = {"sgd": 0, "adafactor": 0, "lion_32bit": 1, "adamw_8bit": 0.5, "paged_adamw_8bit": 0.5}
ADAM_STATES = 2  # exp_avg and exp_avg_sq, in the dtype of the trained weights


def measure_need(parts: Assembly, adapted: Any, step: Any) -> MemoryNeed:
    """Bytes at the configured batch size. Of a cut model the weights are those of the whole one, and the rest is what its
    miniature needs: still a lower bound. `preflight memory` gives the peak itself."""
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
    rows = 1 if parts.built.cut else len(parts.sample)  # as many as `step` has
    longest = _measure_longest(parts)
    vocabulary = int(find_embeddings(parts.bare).weight.shape[0])
    states = OPTIMIZER_STATES.get(parts.config.training.optim or "", ADAM_STATES)
    trained_bytes = sum(p.numel() * p.element_size() for p in trained)
    return MemoryNeed(
        weights=(parts.built.bytes_before_cut + trained_bytes)
        if parts.built.cut
        else sum(p.numel() * p.element_size() for p in weights),
        gradients=trained_bytes,
        optimizer=int(trained_bytes * states),
        activations=sum(kept.values()) * batch_size // rows,
        logits=batch_size * longest * vocabulary * 4,
        batch_size=batch_size,
        longest_row=longest,
    )


def measure_weights(parts: Assembly) -> MemoryNeed:
    """The weights alone, where no step could be made: nothing can be trained in less."""
    weights = sum(p.numel() * p.element_size() for p in parts.model.parameters())
    return MemoryNeed(
        weights=parts.built.bytes_before_cut if parts.built.cut else weights,
        gradients=0,
        optimizer=0,
        activations=0,
        logits=0,
        batch_size=parts.config.training.per_device_train_batch_size,
        longest_row=_measure_longest(parts),
    )


def _measure_longest(parts: Assembly) -> int:
    """Tokens of the longest sampled row; 0 where none of our collators makes a sequence of it."""
    ids = parts.seeded(parts.reference, parts.sample).get(parts.reader.sequence) if parts.reference else None
    return int(ids.shape[1]) if isinstance(ids, torch.Tensor) else 0
