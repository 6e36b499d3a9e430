"""Where the user's batch differs from the reference batch, and which differences do harm."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from preflight_ocr.harness.facts import Batch, Collator, Delta, Facts, Raised, Unknown
from preflight_ocr.harness.judging.rows import is_packed

_ALIKE = 0.85  # of difflib's ratio: one or two letters in a name of ten


def list_arguments(collator: Collator, *roles: str) -> tuple[str, ...]:
    """The forward arguments that play one of these roles."""
    return tuple(argument for argument, role in collator.roles.items() if role in roles)


def list_deltas(collator: Collator, roles: Iterable[str], kinds: Iterable[str]) -> tuple[Delta, ...]:
    """The differences of these kinds on arguments of these roles; none where there is no reference to compare with."""
    if isinstance(collator.deltas, Unknown):
        return ()
    arguments, kinds = list_arguments(collator, *roles), tuple(kinds)
    return tuple(d for d in collator.deltas if d.argument in arguments and d.kind in kinds)


def show_delta(delta: Delta) -> str:
    """`images[0]: float32 tensor [3, 640, 640], expected list of 2`."""
    return f"{delta.path}: {delta.seen}, expected {delta.expected}"


def list_repaired(facts: Facts) -> frozenset[str]:
    """The arguments that had to be replaced before forward could go on."""
    return frozenset() if isinstance(facts.forward, Unknown) else frozenset(r.argument for r in facts.forward.repairs)


def list_malformed_images(facts: Facts) -> tuple[Delta, ...]:
    """Differences on the pixels that do harm: not another container or size that forward takes as well."""
    if isinstance(facts.collator, Unknown):
        return ()
    repaired, batch = list_repaired(facts), facts.collator.batch

    def is_harmful(delta: Delta) -> bool:
        if delta.kind == "length" and delta.path == delta.argument and isinstance(batch, Batch):
            return batch.rows_in == batch.rows_out  # a lost row shortens every argument alike
        if delta.kind in ("rank", "length") or delta.argument in repaired:
            return True
        return delta.kind == "container" and not _takes_images(facts)

    deltas = list_deltas(facts.collator, ("pixels",), ("container", "length", "rank", "shape"))
    return tuple(d for d in deltas if is_harmful(d))


def list_malformed_tiling(facts: Facts) -> tuple[Delta, ...]:
    """Differences on tiling or grid that do harm: not another spelling, nor other numbers for pages cut otherwise."""
    collator = facts.collator
    if isinstance(collator, Unknown) or not isinstance(collator.batch, Batch):
        return ()
    repaired, batch = list_repaired(facts), collator.batch

    def is_harmful(delta: Delta) -> bool:
        if delta.kind in ("shape", "length"):
            return batch.rows_in == batch.rows_out  # a lost row shortens every argument alike
        if delta.kind == "value" and delta.argument not in repaired:
            if list_moved_rows(collator):
                return False  # a page that came into another row brought its tiling along
            return collator.seen_tiles == collator.planned_tiles and not isinstance(collator.seen_tiles, Unknown)
        return delta.argument in repaired or not _takes_images(facts)

    kinds = ("container", "rank", "shape", "length", "value", "dtype")
    return tuple(d for d in list_deltas(collator, ("tiling", "grid"), kinds) if is_harmful(d))


def list_moved_rows(collator: Collator) -> frozenset[int]:
    """The rows that show another row's page."""
    views = () if isinstance(collator.views, Unknown) else collator.views
    return frozenset(v.row for v in views if v.source_row not in (None, v.row))


def _takes_images(facts: Facts) -> bool:
    """Whether forward took the user's batch as it is and saw every image."""
    if isinstance(facts.forward, Unknown) or isinstance(facts.forward.behaviour, Unknown):
        return False
    reaches = facts.forward.behaviour.image_reaches
    batch = None if isinstance(facts.collator, Unknown) else facts.collator.batch
    # The picture of a row that was left out reaches nothing.
    lost = isinstance(batch, Batch) and batch.rows_in != batch.rows_out and not is_packed(batch)
    return facts.forward.given == "ok" and (True in reaches if lost else False not in reaches)


def list_unaccepted_keys(facts: Facts) -> tuple[str, ...]:
    """Keys of the user's batch that forward cannot be called with."""
    if isinstance(facts.forward, Unknown) or isinstance(facts.forward.signature, Unknown):
        return ()
    if isinstance(facts.collator, Unknown) or isinstance(facts.collator.batch, Raised):
        return ()
    signature = facts.forward.signature
    return tuple(key for key in facts.collator.batch.keys if not signature.accepts(key))


def match_swallowed(facts: Facts) -> dict[str, str]:
    """Keys that only `**kwargs` takes and nothing uses, each with the absent argument of forward that it was meant for.

    Meant is the absent argument of nearly the same name; else the absent image argument whose kind of numbers it holds.
    """
    forward, collator = facts.forward, facts.collator
    if isinstance(forward, Unknown) or isinstance(forward.signature, Unknown) or isinstance(forward.idle_keys, Unknown):
        return {}
    if isinstance(collator, Unknown) or isinstance(collator.batch, Raised):
        return {}
    batch = collator.batch
    missing = list_deltas(collator, ("pixels", "placement_mask", "tiling", "grid"), ("missing", "none"))
    images = [delta.argument for delta in missing]
    absent = [name for name in forward.signature.names if name not in batch.keys or name in images]
    meant: dict[str, str] = {}
    for key in (key for key in forward.idle_keys if key in batch.keys):
        free = [name for name in absent if name not in meant.values()]
        near = difflib.get_close_matches(key, free, n=1, cutoff=_ALIKE)
        alike = [name for name in images if name in free and _holds_same(batch, key, collator.reference, name)]
        if near or alike:
            meant[key] = (near or alike)[0]
    return meant


def _holds_same(batch: Batch, key: str, reference: Batch | Unknown, argument: str) -> bool:
    """Whether one argument holds the same kind of numbers, in as many dimensions, as another one of the reference."""
    leaves = () if isinstance(reference, Unknown) else reference.leaves
    theirs = next((leaf for leaf in leaves if leaf.argument == argument), None)
    mine = next((leaf for leaf in batch.leaves if leaf.argument == key), None)
    if mine is None or theirs is None or len(mine.shape) != len(theirs.shape):
        return False
    return ("float" in mine.dtype) == ("float" in theirs.dtype)
