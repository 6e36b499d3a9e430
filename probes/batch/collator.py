"""The collator on real rows: types, shapes, dtypes, ranges, rows in and out, pickling, determinism, tokens by role."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch
from PIL import Image

from preflight_ocr.harness.facts import OURS, Batch, Collator, PixelView, Raised, Unknown, blank
from preflight_ocr.harness.families import Family
from preflight_ocr.harness.training.redirects import redirect_cuda
from preflight_ocr.probes.batch.altered_pages import compare_rows, explain_by_remaking
from preflight_ocr.probes.batch.boxes import look_at_boxes
from preflight_ocr.probes.batch.grids import look_at_grid
from preflight_ocr.probes.batch.pixels import compare_views, count_views, spread
from preflight_ocr.probes.batch.processor import record_image_calls
from preflight_ocr.probes.batch.writing import find_unwritable
from preflight_ocr.probes.workbench.assembly import Assembly
from preflight_ocr.probes.workbench.batches import compare, count_rows, describe, describe_leaves, is_same
from preflight_ocr.probes.workbench.brought import open_parts, tell_brought
from preflight_ocr.probes.workbench.calls import call, read_logits
from preflight_ocr.probes.workbench.tracing import attempt

MEASURED_ROWS = 200  # every page is opened for this


def observe(config_path: str, trust: bool, folder: str) -> dict[str, object]:
    """Run in a child: `{"collator": Collator, "image_calls": [Site, ...], "brought": ...}` as builtins."""
    return observe_parts(open_parts(config_path, trust=trust, folder=Path(folder)))


def observe_parts(parts: Assembly) -> dict[str, object]:
    """The same of parts that are there."""
    with redirect_cuda(), record_image_calls() as calls:
        facts = look_at_collator(parts)
    return {
        "collator": msgspec.to_builtins(facts),
        "image_calls": msgspec.to_builtins(tuple(calls)),
        "brought": tell_brought(parts),
    }


def look_at_collator(parts: Assembly) -> Collator:
    """Everything about the collator in use, and the same rows through ours as a yardstick."""
    rows = parts.sample
    reader = parts.reader
    roles: dict[str, str] = {**parts.family.roles} if parts.family else {}
    reference, expected = look_at_reference(parts)
    owner = parts.collator_name or OURS
    placeholder = (
        None if parts.image_token_id is None else str(parts.tokenizer.convert_ids_to_tokens(parts.image_token_id))
    )
    given: Any = attempt(lambda: parts.seeded(parts.collate, rows))
    batch: Any = given if isinstance(given, Raised) else attempt(lambda: describe(given, rows=rows, read=reader))
    if isinstance(batch, Raised):
        reason = Unknown(reason=f"the collator raised {batch.type}: {batch.message}")
        return blank(
            Collator,
            reason,
            owner=owner,
            placeholder=placeholder,
            batch=batch,
            reference=expected,
            roles=roles,
            pickle_error="",
            mixed_swaps=(),
        )
    made = given
    if reference:
        given = spell_like(parts, given, reference)
    stays: tuple[bool | Unknown, str] = (Unknown(reason=parts.no_pickling), "")
    pickles, pickle_error = stays if parts.no_pickling else _try_pickling(parts.collate)
    mixed, swapped = _try_mixed(parts, rows)
    return Collator(
        owner=owner,
        placeholder=placeholder,
        batch=batch,
        reference=expected,
        roles=roles,
        deltas=compare(given, reference, roles=roles, accepted=parts.forward_names)
        if reference
        else _why(parts, expected),
        views=_look_at_views(parts, given, reference, rows) if reference else _why(parts, expected),
        grid=look_at_grid(given, reference, roles, parts.reference.intake.packing)
        if reference and parts.reference
        else _why(parts, expected),
        planned_tiles=_count_tiles(reference, roles, len(rows)) if reference else _why(parts, expected),
        seen_tiles=_count_tiles(given, roles, len(rows)) if reference else _why(parts, expected),
        deterministic=_is_repeated(parts, made),
        pickles=pickles,
        pickle_error=pickle_error,
        expected_prompt=_find_expected_prompt(parts, expected),
        starts_with_bos=expected.rows[0].count("b") == 1
        if isinstance(expected, Batch) and not isinstance(expected.rows, Unknown)
        else _why(parts, expected),
        mixed_rows=mixed,
        mixed_swaps=swapped,
        swallowed_rows=_count_swallowed(parts, rows),
        safe_length=_measure_safe_length(parts)
        if _loses_placeholders(batch, expected)
        else Unknown(reason="no row loses image tokens"),
        boxes=look_at_boxes(parts, given, roles, rows),
        unwritable=find_unwritable(parts.tokenizer, parts.list_texts(len(parts.rows))),
    )


def spell_like(parts: Assembly, given: Mapping[str, Any], reference: Mapping[str, Any]) -> Mapping[str, Any]:
    """The user's batch, in the reference's shapes where forward makes no difference between the two, to the bit.

    A model may well flatten what is stacked; then the shape is the user's own choice. Pictures that change nothing in the
    logits say nothing about it.
    """
    other: dict[str, Any] = {}
    for name in parts.family.roles if parts.family else ():
        mine, ours = given.get(name), reference.get(name)
        if not isinstance(mine, torch.Tensor) or not isinstance(ours, torch.Tensor) or mine.dim() == ours.dim():
            continue
        width = ours.shape[1:].numel()
        if mine.dim() > ours.dim() and width and mine.numel() % width == 0 and mine.shape[-1] == ours.shape[-1]:
            other[name] = mine.reshape(-1, *ours.shape[1:])
    if not other:
        return given
    unseen = {name: torch.zeros_like(value) if value.is_floating_point() else value for name, value in other.items()}
    batches = (given, {**given, **other}, {**given, **unseen})
    logits = [attempt(lambda one=one: read_logits(call(parts.bare, one))) for one in batches]  # type: ignore[misc]
    first, second, third = logits
    if not isinstance(first, torch.Tensor) or not isinstance(second, torch.Tensor) or not torch.equal(first, second):
        return given
    is_seen = isinstance(third, torch.Tensor) and not torch.equal(first, third)
    return {**given, **other} if is_seen else given


def look_at_reference(parts: Assembly) -> tuple[dict[str, Any] | None, Batch | Unknown]:
    """Our own collator's batch of the sampled rows and what there is to say of it; None and why where there is none.

    With a tokenizer or processor that is broken, ours fails like anybody's.
    """
    made = attempt(lambda: None if parts.reference is None else parts.seeded(parts.reference, parts.sample))
    if made is None:
        return None, Unknown(reason=parts.no_reference)
    if isinstance(made, Raised):
        return None, Unknown(reason=f"our own collator raised {made.type}: {made.message}")
    return dict(made), describe(made, rows=parts.sample, read=parts.reader)


def _find_expected_prompt(parts: Assembly, expected: Batch | Unknown) -> str | Unknown:
    """The prompt that the trained model will be asked with: ours for our own collator, else what the YAML gives."""
    if parts.collator_name and parts.config.data.prompt is None:
        return Unknown(
            reason="data.prompt is not given, so nothing says with which prompt the trained model will be asked"
        )
    if isinstance(expected, Batch) and not isinstance(expected.rows, Unknown):
        return expected.rows[0].prompt_text
    return _why(parts, expected)


def _why(parts: Assembly, expected: Batch | Unknown) -> Unknown:
    return expected if isinstance(expected, Unknown) else Unknown(reason=parts.no_reference)


def _argument(family: Family | None, role: Any) -> str | None:
    return family.argument(role) if family else None


def _count_tiles(batch: Mapping[str, Any], roles: Mapping[str, str], rows: int) -> tuple[int, ...]:
    """Views beyond the one that shows the whole page."""
    return tuple(max(n - 1, 0) for n in count_views(batch, roles=roles, rows=rows))


def _look_at_views(
    parts: Assembly, given: Mapping[str, Any], reference: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]
) -> tuple[PixelView, ...] | Unknown:
    if parts.reference is None:
        return Unknown(reason=parts.no_reference)
    intake = parts.reference.intake
    roles = dict(parts.family.roles) if parts.family else {}
    pixels = [name for name, role in roles.items() if role == "pixels" and name in given]
    shares = count_shares(parts, reference, rows, roles)
    views: tuple[PixelView, ...]
    if intake.mean is None or intake.std is None:
        views = compare_rows(given, reference, pixels, len(rows))
    else:
        views = compare_views(
            spread(given, roles=roles, packing=intake.packing, shares=shares),
            spread(reference, roles=roles, packing=intake.packing, shares=shares),
            roles=roles,
            pages=[parts.open_page(row) for row in rows],
            mean=intake.mean,
            std=intake.std,
        )
    told = (v for v in views if v.geometry not in ("as expected", "unrecognised") or v.source_row not in (None, v.row))
    if next(told, None) is not None:
        return views
    return explain_by_remaking(parts, given, reference, rows, pixels) or views


def count_shares(
    parts: Assembly, reference: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], roles: Mapping[str, str]
) -> dict[str, list[int]]:
    """How many entries of each concatenated pixel argument belong to each row, as our collator makes them."""
    names = [
        name
        for name, role in roles.items()
        if role == "pixels" and isinstance(reference.get(name), torch.Tensor) and len(reference[name]) != len(rows)
    ]
    if not names or parts.reference is None:
        return {}
    alone = [parts.seeded(parts.reference, [row]) for row in rows]
    return {name: [len(batch[name]) if name in batch else 0 for batch in alone] for name in names}


def _is_repeated(parts: Assembly, made: Mapping[str, Any]) -> bool:
    """Whether the same rows give the same batch again, what nobody seeded going on as it does in a run."""
    with parts.chance.free():
        again = parts.seeded(parts.collate, parts.sample)
    return is_same(made, again) and _list_dtypes(made) == _list_dtypes(again)


def _list_dtypes(batch: Mapping[str, Any]) -> list[str]:
    return [leaf.dtype for name, value in batch.items() for leaf in describe_leaves(name, value)]


def _try_pickling(collate: Any) -> tuple[bool | Unknown, str]:
    """Whether a worker started by spawn could receive this collator: the same pickler that DataLoader uses."""
    from multiprocessing.reduction import ForkingPickler

    raised = attempt(lambda: ForkingPickler.dumps(collate))
    return (False, f"{raised.type}: {raised.message}") if isinstance(raised, Raised) else (True, "")


def _try_mixed(parts: Assembly, rows: Sequence[Mapping[str, Any]]) -> tuple[Any, tuple[int, ...]]:
    """A batch in which one row has no image, made only where the data has such rows."""
    bare = parts.find_bare_row() if parts.mixes_rows else None
    if bare is None:
        return Unknown(reason="no batch of the run has rows both with an image and without"), ()
    mixed = [bare, *rows[:1]]
    given = attempt(lambda: parts.seeded(parts.collate, mixed))
    if isinstance(given, Raised):
        return given, ()
    pixels = {name: role for name, role in (parts.family.roles if parts.family else {}).items() if role == "pixels"}
    mask = _argument(parts.family, "placement_mask")
    marked = given.get(mask) if mask else None
    if mask is None:
        # Nothing but the placeholders says whose a picture is: the features go to them in order.
        counts = _count_placeholders(parts, given, len(mixed))
        if counts is None:
            return Unknown(reason="no placeholder says which row a picture belongs to"), ()
    else:
        # A model may want a plain page in the first row for the others to be seen at all; it is nobody's page.
        counts = count_views(given, roles=pixels, rows=len(mixed), shows_something=True)
    swapped = tuple(i for i in (0, 1) if (counts[i] > 0) != (i == 1)) if pixels else ()
    if isinstance(marked, torch.Tensor) and marked.dim() == 2 and len(marked) != len(mixed):
        swapped = (0, 1)
    return "ok", swapped


def _count_placeholders(parts: Assembly, batch: Mapping[str, Any], rows: int) -> tuple[int, ...] | None:
    """How many image tokens each row has; None where the batch has no rows of tokens, or the model no image token."""
    ids = batch.get("input_ids")
    if parts.image_token_id is None or not isinstance(ids, torch.Tensor) or ids.dim() != 2 or len(ids) != rows:
        return None
    return tuple((ids == parts.image_token_id).sum(1).tolist())


def _count_swallowed(parts: Assembly, rows: Sequence[Mapping[str, Any]]) -> int | Unknown:
    """Rows missing from a batch in which one page does not exist, or cannot be decoded; 0 where the collator raises, as it
    should. The larger number of the two."""
    gone = parts.lose_page(rows[0])
    if gone is None:
        return Unknown(reason="a row holds its picture itself, so there is no file that could be missing")
    counts = [_count_lost(parts, rows[0], gone)]
    page = rows[0].get("image_path") if isinstance(rows[0], Mapping) else None
    if isinstance(page, str):
        with tempfile.TemporaryDirectory() as folder:
            half = Path(folder) / Path(page).name
            half.write_bytes(Path(page).read_bytes()[: Path(page).stat().st_size // 2])
            counts.append(_count_lost(parts, rows[0], {**rows[0], "image_path": str(half)}))
    return max(counts)


def _count_lost(parts: Assembly, row: Mapping[str, Any], lost: Mapping[str, Any]) -> int:
    ended = attempt(lambda: count_rows(parts.seeded(parts.collate, [row, lost])))
    return 0 if isinstance(ended, Raised) else max(2 - ended, 0)


def _loses_placeholders(batch: Batch, expected: Batch | Unknown) -> bool:
    if isinstance(batch.rows, Unknown) or isinstance(expected, Unknown) or isinstance(expected.rows, Unknown):
        return False
    pairs = zip(batch.rows, expected.rows, strict=False)
    return any(mine.count("i") < theirs.count("i") for mine, theirs in pairs)


def _measure_safe_length(parts: Assembly) -> int | Unknown:
    """The length that the longest image, prompt and one target token need, over the rows the reference can open."""
    longest = getattr(parts.reference, "smallest_length", None)
    if longest is None:
        return Unknown(reason=parts.no_reference if parts.reference is None else "not measured for a foreign collator")
    lengths = [n for row in parts.rows[:MEASURED_ROWS] if (n := _length_of(longest, row)) is not None]
    return max(lengths) if lengths else Unknown(reason="no row could be opened")


def _length_of(measure: Any, row: Mapping[str, Any]) -> int | None:
    try:
        return int(measure(row))
    except (OSError, SyntaxError, ValueError, KeyError, Image.DecompressionBombError):
        return None  # the dataset probe reports each such row
