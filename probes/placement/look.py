"""One forward on the simulated card: the model moved, the batch moved as Trainer moves it, every clash written down."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
import torch
from torch import nn

from preflight_ocr.harness.facts import Placement, Raised, ReturnedTensor, Unknown, Unmoved
from preflight_ocr.probes.placement.initial_state import InitialState, put_back, remember, write_initial_state
from preflight_ocr.probes.placement.moving import bring_over, list_returned, move_batch
from preflight_ocr.probes.placement.rules import CARD
from preflight_ocr.probes.placement.simulated_card import simulate
from preflight_ocr.probes.placement.simulation import Simulation
from preflight_ocr.probes.workbench.assembly import Assembly
from preflight_ocr.probes.workbench.calls import Batch
from preflight_ocr.probes.workbench.generation import look_at_generation
from preflight_ocr.probes.workbench.tracing import attempt

LARGE = 200_000_000  # weights from which each token that is written takes seconds
NOT_REACHED = Unknown(reason="not run: forward itself did not come to its end")


def look_at_placement(
    parts: Assembly, initial_state: InitialState, batch: Batch, *, repaired: Mapping[str, Any], whole: bool
) -> Placement | Unknown:
    """What would be mixed on a card. Leaves the model as it was.

    `initial_state` is the model before its first forward. `batch` is one that the model takes; `repaired` are those of its
    entries that are not the user's. `whole` says whether that is the user's own model, wrapper and all, or the bare one.
    """
    model = parts.model if whole else parts.bare
    later = remember(parts.model)
    put_back(initial_state)
    try:
        with torch.random.fork_rng(devices=[]):
            found: Any = attempt(lambda: _look(parts, model, initial_state, batch, repaired))
    finally:
        put_back(later)
    if isinstance(found, Raised):  # what is foreign is run under doors of its own, so this is ours
        return Unknown(
            reason=f"the simulation of an accelerator broke: {found.type}: {found.message}", cause="our own failure"
        )
    return found if isinstance(found, Unknown) else msgspec.structs.replace(found, whole=whole)


def _look(
    parts: Assembly, model: nn.Module, initial_state: InitialState, batch: Batch, repaired: Mapping[str, Any]
) -> Placement | Unknown:
    with simulate() as simulation:
        simulation.is_moving_model = True
        moved = attempt(lambda: parts.model.to(CARD))
        simulation.is_moving_model = False
        if isinstance(moved, Raised):
            return Unknown(reason=f"moving the model raised {moved.type}: {moved.message}")
        write_initial_state(simulation, parts.model, initial_state.globals)
        given, returned, unmoved = _collate(parts, simulation, batch, repaired)
        if unmoved:
            # What they meet; what is made beside them is on the CPU as well, and would not be if they were moved.
            attempt(lambda: model(**given))
            simulation.keep_only("entry")
            bring_over(simulation, given)
        simulation.is_counting = True
        ended: Any = attempt(lambda: model(**given))
        simulation.is_counting = False
        raised = isinstance(ended, Raised)
        in_training = NOT_REACHED if raised else _train(model, given)
        generated = NOT_REACHED if raised else _generate(parts, model, simulation)
    return Placement(
        ended=ended if raised else "ok",
        in_training=in_training,
        generated=generated,
        clashes=tuple(simulation.clashes.values()),
        unmoved=unmoved,
        returned=returned,
        named=tuple(simulation.named.values()),
        host_copies=tuple(simulation.host_copies.values()),
        synchronisations=simulation.list_waits(),
        undecided=tuple(simulation.undecided.values()),
        whole=True,
    )


def _collate(
    parts: Assembly, simulation: Simulation, batch: Batch, repaired: Mapping[str, Any]
) -> tuple[dict[str, Any], tuple[ReturnedTensor, ...], tuple[Unmoved, ...]]:
    """What reaches forward; a collator of the user's is run again, beside the model on the card."""
    made: Any = batch
    if parts.collator_name:
        simulation.during = "collator"
        again = attempt(lambda: parts.seeded(parts.collate, parts.sample))
        simulation.during = "forward"
        made = batch if isinstance(again, Raised) else again
    returned = list_returned(simulation, made)
    moved, unmoved = move_batch(simulation, made)
    given = {key: value for key, value in moved.items() if key in batch and key not in repaired}
    return given | bring_over(simulation, dict(repaired)), returned, unmoved


def _train(model: nn.Module, given: Batch) -> Raised | Literal["ok"]:
    """A forward in training mode, which is what a training run makes."""
    model.train()
    ended: Any = attempt(lambda: model(**given))
    model.eval()
    return ended if isinstance(ended, Raised) else "ok"


def _generate(parts: Assembly, model: nn.Module, simulation: Simulation) -> Raised | Unknown | Literal["ok"]:
    """A few tokens written, as an evaluation in the middle of a run does."""
    weights = sum(p.numel() for p in model.parameters())
    if weights > LARGE:
        return Unknown(reason=f"not run: {weights} weights take long on a CPU")
    written: Any = look_at_generation(parts, lambda prompts: move_batch(simulation, prompts)[0])
    return written if isinstance(written, Raised | Unknown) else "ok"
