"""What is written down while code runs on the simulated card: where everything is, and what would go wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
import torch
from torch import nn

from preflight_ocr.harness.facts import (
    Clash,
    HostCopy,
    NamedCard,
    Operand,
    Origin,
    Site,
    Synchronisation,
    Undecided,
)
from preflight_ocr.probes.placement.ledger import Entry, Ledger, list_tensors, share_memory
from preflight_ocr.probes.placement.places import find_library_place, find_place
from preflight_ocr.probes.placement.rules import ANYWHERE, CPU, Argument, judge

MOST = 100  # different places of one kind; more than that is one fault over and over


class Simulation:
    """What was seen while the modes were on. `during` says what runs now."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.during: Literal["collator", "forward"] = "forward"
        self.is_moving_model = False
        self.is_counting = False
        self.clashes: dict[Any, Clash] = {}
        self.undecided: dict[Any, Undecided] = {}
        self.host_copies: dict[Any, HostCopy] = {}
        self.named: dict[Any, NamedCard] = {}
        self.waits: dict[tuple[str, Site | None], int] = {}

    def find(self, tensor: torch.Tensor) -> Entry:
        """Where a tensor would be."""
        return self.ledger.find(tensor)

    def move(self, tensor: torch.Tensor, device: str, *, moved: torch.Tensor | None = None, call: str) -> torch.Tensor:
        """The tensor on another device: a copy with an entry of its own. `moved` is what a cast has made of it already."""
        here = self.find(tensor)
        if self.is_moving_model and isinstance(tensor, nn.Parameter):
            self.ledger.write(
                tensor, device, here.origin
            )  # in place, as torch moves parameters; their memory is not doubled
            return tensor.detach() if moved is None else moved
        if here.device == device and (moved is None or share_memory(moved, tensor)):
            return tensor if moved is None else moved
        copied = tensor if moved is None else moved
        if share_memory(copied, tensor):
            copied = copied.clone()
        origin = here.origin
        if here.device != device:
            if device == CPU:
                self.wait("cpu")
            site, owner = find_place()
            kept = origin is not None and origin.kind in ("parameter", "buffer", "entry", "attribute", "global")
            if owner in ("user", "model") or not kept:
                origin = Origin(kind="moved", site=site, call=call, name=origin.name if kept and origin else "")
        self.ledger.write(copied, device, origin)
        return copied

    def make(self, tensor: torch.Tensor, device: str, *, call: str) -> None:
        """Write down a tensor that was just made."""
        self.ledger.write(tensor, device, Origin(kind="made", site=find_place()[0], call=call, name=""))

    def name_card(self, call: str) -> None:
        """Note that the running line names a card itself."""
        site, owner = find_place()
        if site is not None and owner is not None and len(self.named) < MOST:
            here = Site(file=site.file, line=site.line, code=site.code, kind=call, runs=None)
            self.named.setdefault((here, self.during), NamedCard(site=here, owner=owner, during=self.during))

    def wait(self, call: str) -> None:
        """Count a place at which the CPU waits for the card."""
        if self.is_counting:
            key = (call, find_library_place())
            self.waits[key] = self.waits.get(key, 0) + 1

    def copy_to_host(self, tensor: torch.Tensor, call: str) -> None:
        """Note that a tensor on the card was asked for as an array."""
        site, here = find_place()[0], self.find(tensor)
        copied = HostCopy(call=call, shape=tuple(tensor.shape), dtype=name_dtype(tensor), site=site, origin=here.origin)
        if len(self.host_copies) < MOST:
            self.host_copies.setdefault((call, site), copied)

    def check(self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
        """Hold a kernel's tensors to the rules, write down what breaks them, and say where its results are."""
        devices = {self.ledger.find(tensor).device for tensor in list_tensors((args, kwargs))}
        places = devices - {ANYWHERE}
        if len(places) < 2:
            return places.pop() if places else ANYWHERE
        operation = func._schema.name.partition("::")[2]
        tensors, arguments = _name_arguments(func, args, kwargs, self.ledger)
        verdict, strays = judge(operation, arguments, is_pointwise=torch.Tag.pointwise in func.tags)
        if verdict == "unknown":
            self._leave_undecided(operation, arguments)
            return ANYWHERE
        if verdict == "mixed":
            self._write_clash(operation, tensors, arguments, strays)
        return next((a.device for a in arguments if a.device not in (CPU, ANYWHERE)), CPU)

    def _leave_undecided(self, operation: str, arguments: list[Argument]) -> None:
        site = find_place()[0]
        where = ", ".join(f"{a.name} on {a.device}" for a in arguments)
        reason = f"{where}: not known whether torch takes this"
        if len(self.undecided) < MOST:
            self.undecided.setdefault((operation, site), Undecided(operation=operation, site=site, reason=reason))

    def _write_clash(
        self, operation: str, tensors: list[torch.Tensor], arguments: list[Argument], strays: tuple[int, ...]
    ) -> None:
        others = [n for n in range(len(arguments)) if n not in strays and arguments[n].device not in (CPU, ANYWHERE)]
        site, inside = find_place()[0], find_library_place()
        beside = others[0] if others else strays[-1]
        for stray in strays:
            entry = self.find(tensors[stray])
            key = (operation, arguments[stray].name, site, inside, entry.origin)
            known = self.clashes.get(key)
            if known is not None:
                self.clashes[key] = msgspec.structs.replace(known, times=known.times + 1)
            elif len(self.clashes) < MOST:
                self.clashes[key] = Clash(
                    operation=operation,
                    stray=self._describe(tensors[stray], arguments[stray]),
                    beside=self._describe(tensors[beside], arguments[beside]),
                    site=site,
                    inside=None if inside == site else inside,
                    times=1,
                )
            if arguments[stray].is_written:  # its results are in it, so that it is neither here nor there from now on
                self.ledger.write(tensors[stray], ANYWHERE, entry.origin)

    def _describe(self, tensor: torch.Tensor, argument: Argument) -> Operand:
        return Operand(
            argument=argument.name,
            shape=tuple(tensor.shape),
            dtype=name_dtype(tensor),
            device=argument.device,
            origin=self.find(tensor).origin,
        )

    def keep_only(self, kind: str) -> None:
        """Forget the clashes in which the stray tensor is of another origin, and what was left undecided."""
        found = self.clashes.items()
        self.clashes = {key: m for key, m in found if m.stray.origin is not None and m.stray.origin.kind == kind}
        self.undecided = {}

    def list_waits(self) -> tuple[Synchronisation, ...]:
        """The places at which the CPU waited, the most frequent first."""
        most = sorted(self.waits.items(), key=lambda item: -item[1])
        return tuple(Synchronisation(call=call, site=site, times=times) for (call, site), times in most[:MOST])


def _name_arguments(
    func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], ledger: Ledger
) -> tuple[list[torch.Tensor], list[Argument]]:
    """A kernel's tensors, and for each the parameter's name, its device, its dimensions."""
    schema = func._schema.arguments
    tensors, arguments = [], []
    named = [*zip(schema, args, strict=False), *((p, kwargs[p.name]) for p in schema if p.name in kwargs)]
    for parameter, value in named:
        is_written = bool(parameter.alias_info is not None and parameter.alias_info.is_write)
        for tensor in list_tensors(value):
            tensors.append(tensor)
            arguments.append(Argument(parameter.name, ledger.find(tensor).device, tensor.dim(), is_written))
    return tensors, arguments


def name_dtype(tensor: torch.Tensor) -> str:
    """`float32`, `bfloat16`."""
    return str(tensor.dtype).removeprefix("torch.")
