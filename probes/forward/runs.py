"""The supervised stretches of a batch's labels: where each row's target begins, and what stands before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch

from preflight_ocr.harness.facts import Raised, Unknown
from preflight_ocr.probes.workbench.assembly import Assembly
from preflight_ocr.probes.workbench.batches import IGNORED
from preflight_ocr.probes.workbench.calls import Batch
from preflight_ocr.probes.workbench.tracing import attempt

TOKENS, LABELS, MASK = "input_ids", "labels", "attention_mask"


class Run(NamedTuple):
    """The supervised labels of one row of data: those of `sequence` from `start` on, `tokens` of them."""

    sequence: int
    start: int
    tokens: tuple[int, ...]


def find_runs(parts: Assembly, batch: Batch, sample: Sequence[Mapping[str, Any]] | None = None) -> list[Run]:
    """The supervised stretches of the labels, of each row the target where it can be told from what else is supervised.

    `sample` are the rows of data that the batch was made of, all of them where it is None.
    """
    sample = parts.sample if sample is None else sample
    labels = batch.get(LABELS)
    if not isinstance(labels, torch.Tensor) or labels.dim() != 2:
        return []
    marks = (labels != IGNORED).tolist()
    rows = attempt(lambda: parts.reader.read(batch, sample)) if len(marks) == len(sample) else ()
    if not isinstance(rows, Raised | Unknown) and not parts.is_encoder_decoder:
        for flags, row in zip(marks, rows, strict=False):
            if len(row.roles) == len(flags) and "t" in row.roles:
                flags[:] = [flag and role in "te" for flag, role in zip(flags, row.roles, strict=True)]
    found = []
    for sequence, flags in enumerate(marks):
        starts = [i for i, flag in enumerate(flags) if flag and not (i and flags[i - 1])]
        for start in starts:
            end = next((i for i in range(start, len(flags)) if not flags[i]), len(flags))
            found.append(Run(sequence, start, tuple(labels[sequence, start:end].tolist())))
    return found


def read_before(batch: Batch, runs: Sequence[Run], at: int) -> list[int]:
    """The tokens before a row's target that the mask shows, behind those of the row before it in the same sequence."""
    run, begin = runs[at], _find_begin(runs, at)
    ids, mask = batch[TOKENS][run.sequence, begin : run.start], batch.get(MASK)
    if isinstance(mask, torch.Tensor) and mask.shape == batch[TOKENS].shape:
        ids = ids[mask[run.sequence, begin : run.start].bool()]
    stands: list[int] = ids.tolist()
    return stands


def _find_begin(runs: Sequence[Run], at: int) -> int:
    """Where the row of this target begins in its sequence: behind the target of the row before it."""
    run, before = runs[at], runs[at - 1] if at else None
    return before.start + len(before.tokens) if before is not None and before.sequence == run.sequence else 0


def has_prompt(batch: Batch, runs: Sequence[Run], at: int, prompt: Batch) -> bool:
    """Whether exactly the reading's prompt stands before the target, behind padding or the row before it."""
    run, begin = runs[at], _find_begin(runs, at)
    wanted = prompt[TOKENS][0].tolist()
    stands = batch[TOKENS][run.sequence, begin : run.start].tolist()
    if len(stands) < len(wanted) or stands[len(stands) - len(wanted) :] != wanted:
        return False
    mask = batch.get(MASK)
    padding = len(stands) - len(wanted)
    if not padding or not isinstance(mask, torch.Tensor) or mask.dim() != 2:
        return not padding or len(set(stands[:padding])) == 1
    return not bool(mask[run.sequence, begin : begin + padding].any())


def ask_as_trained(batch: Batch, run: Run, prompt: Batch) -> Batch:
    """The prompt of an encoder with the row's own tokens: in which words it is asked is the user's matter."""
    ids, mask = batch.get(TOKENS), batch.get(MASK)
    if TOKENS not in prompt or not isinstance(ids, torch.Tensor):
        return prompt
    own = ids[run.sequence]
    if isinstance(mask, torch.Tensor) and mask.shape == ids.shape:
        own = own[mask[run.sequence].bool()]
    if torch.equal(own, prompt[TOKENS][0]):
        return prompt
    return {**prompt, TOKENS: own[None], MASK: torch.ones_like(own)[None]}
