"""What the diagnoses of device placement share: which clash belongs to whom, and how it is put into words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from preflight_ocr.harness.facts import (
    Clash,
    Configuration,
    Facts,
    Operand,
    Origin,
    Placement,
    Raised,
    Site,
    Unknown,
)
from preflight_ocr.harness.judging.findings import Finding, Severity
from preflight_ocr.harness.judging.wording import known, show_site

STANDING = ("attribute", "global")


def get_placement(facts: Facts) -> Placement:
    """The placement, where `needs` has made sure that there is one."""
    return known(known(facts.forward).placement)


def weigh(facts: Facts, severity: Severity) -> Severity:
    """How bad it is: fragile only, where the run is told to stay on the CPU."""
    on_cpu = isinstance(facts.configuration, Configuration) and facts.configuration.use_cpu
    return Severity.MINOR if on_cpu else severity


def excuse_simulation(facts: Facts, found: Iterable[Finding]) -> str:
    """Why the simulated run decides nothing: it did not get to its end, or met an operation whose rule is not known.

    What was found stands: nothing is excused where there is anything.
    """
    if next(iter(found), None) is not None:
        return ""
    placement = get_placement(facts)
    if isinstance(placement.ended, Raised):
        return f"the forward on a simulated accelerator ended with {placement.ended.type}: {placement.ended.message}"
    if isinstance(placement.in_training, Raised):
        raised = placement.in_training
        return f"in training mode, forward on a simulated accelerator ended with {raised.type}: {raised.message}"
    if isinstance(placement.in_training, Unknown):
        return placement.in_training.reason
    if not placement.undecided:
        return ""
    question = placement.undecided[0]
    where = f" at {show_site(question.site)}" if question.site else ""
    return f"{question.operation}{where}: {question.reason}"


def group_by_origin(clashes: Iterable[Clash]) -> Iterator[tuple[Origin | None, tuple[Clash, ...]]]:
    """The clashes of each stray tensor together: one tensor in the wrong place is one fault, wherever it is used."""
    clashes = tuple(clashes)
    for origin in dict.fromkeys(m.stray.origin for m in clashes):
        yield origin, tuple(m for m in clashes if m.stray.origin == origin)


def show_clash(clash: Clash) -> str:
    """`masked_scatter_: mask bool [5, 1] on cpu beside self float32 [5, 64] on cuda:0 (modeling.py:84: code)`."""
    place = clash.site or clash.inside
    also = f"; inside {clash.inside.file}:{clash.inside.line}" if clash.inside and clash.site else ""
    where = f" ({show_site(place)}{also})" if place else ""
    return f"{clash.operation}: {show_operand(clash.stray)} beside {show_operand(clash.beside)}{where}"


def show_operand(operand: Operand) -> str:
    """`mask bool [5, 1] on cpu`, with the parameter's or entry's name where it has one."""
    name = operand.origin.name if operand.origin and operand.origin.name else ""
    own = f" = {name}" if name else ""
    return f"{operand.argument}{own} {operand.dtype} {list(operand.shape)} on {operand.device}"


def list_sites(clashes: Iterable[Clash]) -> tuple[Site, ...]:
    """Where they were met."""
    return tuple(site for m in clashes if (site := m.site or m.inside) is not None)
