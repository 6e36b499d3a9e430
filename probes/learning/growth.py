"""Nothing grows: the same rows are collated and trained on again and again, and what the process holds is counted.

The same rows each time, so that a cache is full after the first round; what still grows then grows with every step.
"""

from __future__ import annotations

import gc
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import torch

from preflight_ocr.harness.facts import Growth, Raised, Unknown
from preflight_ocr.probes.workbench.assembly import Assembly
from preflight_ocr.probes.workbench.towers import compute_towers
from preflight_ocr.probes.workbench.tracing import attempt

SETTLING, ROUNDS = 2, 5
SLOW, FEWER = 0.5, 3  # seconds of the processor for a round, and how many rounds are then enough
FEW = 8  # tensors, and containers at a time, that are followed to their holder


def look_at_growth(parts: Assembly, adapted: Any, step: Callable[[], torch.Tensor]) -> Growth | Unknown:
    """Tensors, entries of the collator's own containers, open files and threads after each of ROUNDS rounds; after FEWER,
    where they are slow.

    Leaves no gradient. Unknown where a round raises, or is too dear.
    """
    if parts.built.cut:
        return Unknown(reason="the model was cut, and one step of it takes many seconds")
    gc.collect()
    gc.freeze()  # what is there already is not gone through each time
    with compute_towers():  # what grows in one of them is to be seen
        seen = attempt(lambda: _repeat(parts, adapted, step))
    gc.unfreeze()
    adapted.zero_grad(set_to_none=True)
    if isinstance(seen, Raised):
        return Unknown(reason=f"a repeated step raised {seen.type}: {seen.message}")
    found: Growth = seen
    return found


def _repeat(parts: Assembly, adapted: Any, step: Callable[[], torch.Tensor]) -> Growth:
    process, collate = psutil.Process(), parts.collate
    count_files: Callable[[], int] = process.num_fds if hasattr(process, "num_fds") else process.num_handles  # Windows
    tensors: list[int] = []
    sizes: list[int] = []
    entries: list[int] = []
    files: list[int] = []
    threads: list[int] = []
    first: set[int] = set()
    holders: tuple[str, ...] = ()
    rounds, started = ROUNDS, time.thread_time()
    for number in range(SETTLING + ROUNDS):
        if number == SETTLING and time.thread_time() - started > SETTLING * SLOW:
            rounds = FEWER
        if number == SETTLING + rounds:
            break
        parts.seeded(collate, parts.sample)
        step().backward()  # type: ignore[no-untyped-call]
        adapted.zero_grad(set_to_none=True)
        gc.collect()
        if number < SETTLING:
            continue
        live = list(_list_tensors())
        tensors.append(len(live))
        sizes.append(_weigh(live))
        entries.append(_count_entries(collate))
        files.append(count_files())
        threads.append(process.num_threads())
        if number == SETTLING:
            first = {id(tensor) for tensor in live}
        elif number == SETTLING + rounds - 1 and tensors[-1] > tensors[0]:
            gc.unfreeze()  # who holds them may have been there before
            holders = tuple(dict.fromkeys(_name_holders([tensor for tensor in live if id(tensor) not in first], live)))
        del live
    return Growth(
        tensors=tuple(tensors),
        bytes=tuple(sizes),
        entries=tuple(entries),
        files=tuple(files),
        threads=tuple(threads),
        holders=holders,
    )


def _list_tensors() -> Iterator[torch.Tensor]:
    for thing in gc.get_objects():
        if issubclass(type(thing), torch.Tensor):  # not isinstance: that asks foreign objects for their class
            yield thing


def _weigh(tensors: list[torch.Tensor]) -> int:
    sizes: dict[int, int] = {}
    for tensor in tensors:
        storage = attempt(tensor.untyped_storage)
        if isinstance(storage, torch.UntypedStorage):
            sizes[storage._cdata] = storage.nbytes()
    return sum(sizes.values())


def _count_entries(collate: Any) -> int:
    """The entries of the containers that the collator holds itself, and of those in what it only passes rows on to."""
    attributes = list((_list_names(collate) or {}).values())
    inner = [value for value in attributes if callable(value) and not isinstance(value, type | torch.nn.Module)]
    attributes += [value for one in inner for value in (_list_names(one) or {}).values()]
    return sum(len(value) for value in attributes if isinstance(value, list | dict | set | deque))


def _name_holders(new: list[torch.Tensor], own: list[torch.Tensor]) -> Iterator[str]:
    """`Class.attribute` or `module.name` of what holds new tensors, at most four containers deep."""
    layer: list[Any] = new[:FEW]
    passed = {id(own), id(new), *map(id, layer)}
    for _ in range(4):
        above: list[Any] = []
        for referrer in gc.get_referrers(*layer):
            if id(referrer) in passed or referrer is layer:
                continue
            passed.add(id(referrer))
            kind = type(referrer)
            if kind is dict and "__builtins__" in referrer and (key := _find_key(referrer, layer)):
                yield f"{referrer.get('__name__')}.{key}"
            elif kind is dict and (owner := _find_object(referrer)) is not None:
                yield f"{type(owner).__name__}.{_find_key(referrer, layer)}"
            elif kind in (dict, list, tuple, deque):
                above.append(referrer)
            elif (names := _list_names(referrer)) is not None and (key := _find_key(names, layer)):
                yield f"{kind.__name__}.{key}"
        layer = above[:FEW]
        if not layer:
            return


def _list_names(thing: Any) -> dict[str, Any] | None:
    """The attributes of an object of a class that is written in Python; None for anything else."""
    try:
        names = object.__getattribute__(thing, "__dict__")
    except AttributeError:
        return None
    return names if type(names) is dict else None


def _find_object(names: dict[Any, Any]) -> Any:
    """The object whose attributes these are; None for any other dictionary."""
    return next((thing for thing in gc.get_referrers(names) if _list_names(thing) is names), None)


def _find_key(names: dict[Any, Any], held: list[Any]) -> Any:
    return next((key for key, value in list(names.items()) if any(value is one for one in held)), None)
