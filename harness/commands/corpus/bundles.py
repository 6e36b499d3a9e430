"""Which faults of a model are planted in one project, so that one check answers for several of them.

A fault beside others has to be named all the same, and nothing else: that asks more of the check than the fault alone does.
Where it fails, the runner tries each fault of the bundle by itself, which says what the fault is and what the company.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache

from preflight_ocr.fixtures.corpus import HOOKS, Fault, find_faults, load
from preflight_ocr.fixtures.corpus.cases import find_expected
from preflight_ocr.fixtures.corpus.plant import choose_level, clash
from preflight_ocr.harness.diagnoses import find

LARGEST = 6
BATCH_HOOKS = ("feed", "collate")


def bundle(faults: Iterable[str], model: str) -> Iterator[tuple[str, ...]]:
    """These faults of one model, each in one bundle of at most LARGEST that can be planted together.

    Those that are read stay apart from those that are run, and those of the batch from those of everything else, because
    what they leave alone is taken over from the healthy project. Those that show only in a run that goes on to its end stay
    among themselves: beside a fault that stops it they would be hidden. Whoever gets along with few is placed first.
    """
    known, wanted = _know(), sorted(faults)
    alone = {fault: sum(not get_along(fault, other, model) for other in wanted) for fault in wanted}
    pools: dict[tuple[str, bool, bool], list[list[str]]] = {}
    for fault in sorted(wanted, key=lambda fault: -alone[fault]):
        bundles = pools.setdefault(_sort_of(known[fault]), [])
        room = (b for b in bundles if len(b) < LARGEST and all(get_along(fault, other, model) for other in b))
        found = next(room, None)
        if found is None:
            bundles.append([fault])
        else:
            found.append(fault)
    yield from (tuple(one) for bundles in pools.values() for one in bundles)


def get_along(left: str, right: str, model: str) -> bool:
    """Whether both can be planted in one project and told apart by the names of their root causes."""
    known = _know()
    names = [set(find_expected(known[fault], model)) for fault in (left, right)]
    return not names[0] & names[1] and not clash(known[left], known[right])


def needs_the_whole_run(fault: Fault) -> bool:
    """Whether what tells this fault looks at a run that nothing else stops: at its life, or at what it learnt by heart."""
    modules = filter(None, map(find, fault.expects))
    needs = {need for module in modules for need in module.DIAGNOSIS.needs}
    return any(need.startswith(("rehearsal", "learning.recipe", "learning.recital")) for need in needs)


def _sort_of(fault: Fault) -> tuple[str, bool, bool]:
    hooks = {hook for hook in HOOKS if hasattr(load(fault.id), hook)}
    of_batch = bool(hooks) and hooks <= set(BATCH_HOOKS) and not fault.subject
    return choose_level([fault]), of_batch, needs_the_whole_run(fault)


@cache
def _know() -> dict[str, Fault]:
    return {fault.id: fault for fault in find_faults()}
