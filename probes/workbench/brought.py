"""What `subject.trainer` trains with in place of what it is handed.

A trainer of the user's may come with a collator and a dataset of its own; what it was handed is then never used, and
judging that would say nothing about the run. It is therefore built as the run builds it and asked for its training loader.
"""

from __future__ import annotations

import copy
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import nn

from preflight_ocr.harness.config.schema import Config
from preflight_ocr.harness.facts import Brought, Raised, Unknown
from preflight_ocr.harness.foreign.rows import find_pages, find_target
from preflight_ocr.harness.holding.held import Held, Load
from preflight_ocr.harness.holding.hooks import read_trainer
from preflight_ocr.harness.training.adapter import attach
from preflight_ocr.harness.training.data import names_rows, open_rows
from preflight_ocr.harness.training.subject import load_part
from preflight_ocr.probes.workbench.assembly import Assembly
from preflight_ocr.probes.workbench.description import describe_rows, name_part
from preflight_ocr.probes.workbench.held import HeldAssembly
from preflight_ocr.probes.workbench.tracing import attempt

OWN_ROWS = "the rows are those that subject.trainer brings, so that our own collator makes no batch to compare with"
LIBRARIES = ("transformers", "accelerate", "datasets")  # what these put around a part passes its rows and batches on


def open_parts(config_path: str | Path, *, trust: bool, folder: Path, adapted: bool = False) -> Assembly:
    """The parts under test, as the run will use them: those of the YAML, or what its trainer brings in their place.

    Rows that the trainer brings in a form that is known are met as rows of a file are; others as those of a command that
    was held. `adapted` leaves the adapter on the model then.
    """
    parts = Assembly(config_path, trust=trust, folder=folder)
    if (trainer := parts.config.subject.trainer) is None:
        return parts
    made = attempt(lambda: _build(parts, folder))
    if isinstance(made, Raised):  # a finding where the run's start is rehearsed
        parts.unbuilt = f"{made.type}: {made.message}"
        return parts
    if made is None:
        return parts
    held, handed = made
    brings: list[str] = []
    if held.collate is not None and not _is_or_holds(held.collate, handed.collate):
        brings.append("collator")
    if held.rows is not None and not _is_or_holds(held.rows, handed.rows):
        brings.append("rows")
    if "rows" in brings and not _are_known(held.rows):
        return BroughtAssembly(held, parts, adapted=adapted, brings=tuple(brings))
    if brings:
        parts.take(
            held,
            collate=held.collate if "collator" in brings else None,
            rows=held.rows if "rows" in brings else None,
            name=trainer,
        )
    return parts


def tell_brought(parts: Assembly) -> dict[str, object]:
    """Which parts the trainer brings, and what its rows are, or why that is not known: a Brought as builtins."""
    dataset: Any = None
    if "rows" in parts.brings:
        by = parts.brought_by
        held = parts if by is None else BroughtAssembly(by, parts, adapted=False, brings=parts.brings)
        dataset = attempt(lambda: describe_rows(held))  # type: ignore[arg-type]  # without `by` the parts are held ones
        if isinstance(dataset, Raised):
            dataset = Unknown(reason=f"the rows of subject.trainer cannot be read: {dataset.type}: {dataset.message}")
    told: dict[str, object] = msgspec.to_builtins(Brought(parts=parts.brings, dataset=dataset, unbuilt=parts.unbuilt))
    return told


class BroughtAssembly(HeldAssembly):
    """The parts of a trainer that brings rows of a form of its own: met as those of a command that was held."""

    no_reference = OWN_ROWS
    no_trainer = "subject.trainer steps over rows of its own, so that two of its steps cannot be compared"

    def __init__(self, held: Held, parts: Assembly, *, adapted: bool, brings: tuple[str, ...]) -> None:
        subject = msgspec.structs.replace(
            parts.config.subject, trainer=None, dataset=None, collator=name_part(held.collate, parts.config.source)
        )
        config = msgspec.structs.replace(parts.config, subject=subject)
        super().__init__(held, config, directory=parts.directory, adapted=adapted)
        self.brings = brings


def _are_known(rows: Any) -> bool:
    """Whether the form of these rows is one that is known, so that our own collator can read them too."""
    if not hasattr(rows, "__getitem__") or not hasattr(rows, "__len__") or not len(rows):
        return False
    first: Any = attempt(lambda: rows[0])
    if not isinstance(first, dict):
        return False
    return bool(find_pages(first)) and bool(find_target(first))


class _Handed:
    """What the trainer is handed, as the run would hand it over; None where the YAML has no such thing."""

    def __init__(self, parts: Assembly, folder: Path) -> None:
        self.parts, self.folder = parts, folder

    @cached_property
    def collate(self) -> Any:
        given = attempt(lambda: self.parts.collate)
        return None if isinstance(given, Raised) else given

    @cached_property
    def both(self) -> tuple[Any, Any]:
        return open_rows(self.parts.config) if names_rows(self.parts.config) else (None, None)

    @property
    def rows(self) -> Any:
        return self.both[0]

    @property
    def config(self) -> Config:
        """The run's configuration, its files written below a folder of this process's own and no service called."""
        training, out = self.parts.config.training, self.folder / "trainer"
        changed = {"output_dir": str(out), "report_to": "none", "use_cpu": True}
        arguments = {**training.arguments, **changed}
        training = msgspec.structs.replace(training, arguments=arguments, output_dir=out)
        return msgspec.structs.replace(self.parts.config, training=training)


def _build(parts: Assembly, folder: Path) -> tuple[Held, _Handed] | None:
    """The trainer, read as one that was held, and what it was handed. Raises what its factory raises."""
    factory = load_part(parts.config, "trainer")
    assert factory is not None
    handed = _Handed(parts, folder)
    config, built = handed.config, parts.built
    attached = attempt(lambda: attach(copy_structure(parts.model), config))
    # That no adapter could be put on is told elsewhere; what the trainer brings is asked all the same.
    adapted = copy_structure(parts.model) if isinstance(attached, Raised) else attached
    trainer = factory(config, parts.open_processor(), adapted, handed.collate, *handed.both)
    if not hasattr(trainer, "train_dataset") or not hasattr(trainer, "get_train_dataloader"):
        return None  # not one of Hugging Face's: where it keeps its rows and its collator is not known
    load = Load(
        source=str(parts.directory), model_class=type(parts.bare).__name__, weights=built.weights, cut=built.cut,
        bytes_before_cut=built.bytes_before_cut,
    )  # fmt: skip
    held = read_trainer(trainer, "subject.trainer")
    held.loads = (load,)
    return held, handed


def copy_structure(model: nn.Module) -> nn.Module:
    """The model once more over the same storage: what is put on the copy, or frozen in it, leaves the model as it is.

    Parameters of a kind of their own (quantised ones) are shared as they are. A model that cannot be copied is returned
    itself.
    """
    shared: dict[int, Any] = {
        id(p): nn.Parameter(p.data, requires_grad=p.requires_grad) if type(p) is nn.Parameter else p
        for p in model.parameters()
    }
    shared |= {id(buffer): buffer for buffer in model.buffers()}
    copied: Any = attempt(lambda: copy.deepcopy(model, shared))
    return model if isinstance(copied, Raised) else copied


def _is_or_holds(given: Any, handed: Any) -> bool:
    """Whether this is what was handed over, bare or with only what the libraries themselves put around it."""
    while given is not handed:
        if isinstance(given, torch.utils.data.Subset):
            given = given.dataset
        elif type(given).__module__.partition(".")[0] in LIBRARIES:
            given = getattr(given, "data_collator", None) or getattr(given, "dataset", None)
        else:
            return False
    return True
