"""What must hold for a batch, whatever stands in its rows. Nothing about a family is known here.

A promise is judged on our own collator and on anybody's: what only ours owes (exact text, a refusal that names its row) is
asked of ours alone. A page so thin or small that a model's own preparation may refuse it may be refused; it may not be
taken and spoiled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch
from PIL import Image

from preflight_ocr.harness.commands.fuzz.bench import Batch, Bench, Refused, Row
from preflight_ocr.harness.facts import Raised, Unknown
from preflight_ocr.harness.training.collate import IGNORED
from preflight_ocr.probes.workbench.batches import count_rows, walk
from preflight_ocr.probes.workbench.calls import read_loss

SMALLEST_SIDE, LONGEST_ASPECT = (
    32,
    30.0,
)  # an ordinary page is at least this thick, and not longer than so many times this


class Breach(msgspec.Struct, frozen=True, kw_only=True):
    """A promise that did not hold, and what was seen."""

    promise: str
    seen: str


def find_breaches(bench: Bench, rows: Sequence[Row], *, forward: bool = False) -> Iterator[Breach]:
    """Every promise these rows break, the most telling first. With `forward`, the model is asked too."""
    batch = bench.collate(rows)
    if isinstance(batch, Raised):
        if bench.is_own or not any(_is_extreme(row) for row in rows):
            yield Breach(promise="takes-its-rows", seen=f"{batch.type}: {batch.message}")
        return
    if isinstance(batch, Refused):
        yield from _judge_refusal(bench, rows, batch)
        return
    if any(isinstance(row.get("image_path"), list) for row in rows):
        yield Breach(promise="one-picture-a-row", seen="a row with several pictures became a batch")
        return
    if not isinstance(batch, Mapping) or not isinstance(batch.get(bench.sequence), torch.Tensor):
        yield Breach(promise="makes-a-batch", seen=f"no tensor {bench.sequence} in what the collator returned")
        return
    if (count := len(batch[bench.sequence])) != len(rows) or count_rows(batch) < len(rows):
        yield Breach(promise="keeps-its-rows", seen=f"{len(rows)} rows went in and {count} came out")
        return
    bench.taken += 1
    if away := [path for path, leaf in _list_tensors(batch) if leaf.device.type != "cpu"]:
        yield Breach(promise="stays-on-the-cpu", seen=f"{', '.join(away)} elsewhere: a worker has no accelerator")
        return
    yield from _judge_types(bench, batch)
    yield from _judge_repetition(bench, rows, batch)
    for index, row in enumerate(rows):
        yield from _judge_row(bench, row, index, batch)
    if forward:
        yield from _judge_forward(bench, batch)


def _is_extreme(row: Row) -> bool:
    """Whether a refusal of this row would be fair."""
    path = row.get("image_path")
    if not isinstance(path, str):
        return True
    with Image.open(path) as image:
        width, height = image.size
    return min(width, height) < SMALLEST_SIDE or max(width, height) > LONGEST_ASPECT * min(width, height)


def _judge_refusal(bench: Bench, rows: Sequence[Row], refused: Refused) -> Iterator[Breach]:
    named = [row for row in rows if _names(refused.message, row)]
    if bench.is_own and not named:
        yield Breach(promise="names-the-row-it-refuses", seen=refused.message)
    elif "max_seq_length" not in refused.message and not any(_is_extreme(row) for row in named or rows):
        yield Breach(promise="takes-its-rows", seen=refused.message)


def _names(message: str, row: Row) -> bool:
    """By one of its pictures, or by how its text begins."""
    given = row.get("image_path")
    paths = given if isinstance(given, list) else [given] if given else []
    return any(Path(path).name in message for path in paths) or repr(row["text"][:40]) in message


def _list_tensors(batch: Batch) -> Iterator[tuple[str, torch.Tensor]]:
    for name, value in batch.items():
        for path, leaf in walk(name, value):
            if isinstance(leaf, torch.Tensor):
                yield path, leaf


def _judge_types(bench: Bench, batch: Batch) -> Iterator[Breach]:
    """Finite numbers, of the dtype and rank that an ordinary page gives them."""
    usual = dict(_list_tensors(bench.usual)) if isinstance(bench.usual, Mapping) else {}
    forms: dict[str, set[tuple[torch.dtype, int]]] = {}
    for path, leaf in usual.items():
        forms.setdefault(_name(path), set()).add((leaf.dtype, leaf.dim()))
    for path, leaf in _list_tensors(batch):
        if leaf.is_floating_point() and not bool(torch.isfinite(leaf.float()).all()):
            yield Breach(promise="is-finite", seen=f"{path} holds numbers that are not finite")
        form = (leaf.dtype, leaf.dim())
        if _name(path) in forms and form not in forms[_name(path)]:
            known = ", ".join(f"{dtype} of rank {rank}" for dtype, rank in forms[_name(path)])
            seen = f"{path} is {leaf.dtype} of rank {leaf.dim()}, for an ordinary page {known}"
            yield Breach(promise="has-one-form", seen=seen)


def _name(path: str) -> str:
    """The argument that a path such as `images[0][1]` begins with."""
    return path.partition("[")[0]


def _judge_repetition(bench: Bench, rows: Sequence[Row], batch: Batch) -> Iterator[Breach]:
    again = bench.collate(rows)
    if not isinstance(again, Mapping) or list(again) != list(batch):
        yield Breach(promise="repeats-itself", seen="a second batch of the same rows has other arguments")
        return
    for name, value in batch.items():
        pairs = zip(walk(name, value), walk(name, again[name]), strict=False)
        for (path, first), (_, second) in pairs:
            if isinstance(first, torch.Tensor) and not (first.shape == second.shape and torch.equal(first, second)):
                yield Breach(promise="repeats-itself", seen=f"{path} differs in a second batch of the same rows")
                return


def _judge_row(bench: Bench, row: Row, index: int, batch: Batch) -> Iterator[Breach]:
    """One row of the batch against the same row alone, and against its page with a plain text."""
    alone, plain = bench.collate([row]), bench.collate_plain(row)
    if not isinstance(alone, Mapping):
        yield Breach(
            promise="takes-a-row-alone", seen=f"row {index} was taken in a batch and by itself ended in {alone}"
        )
        return
    ids, real, labels = read_row(bench, batch, index)
    ids_alone, real_alone, labels_alone = read_row(bench, alone, 0)
    if bench.is_own and not all(real_alone):
        yield Breach(promise="pads-only-to-the-longest", seen=f"row {index} has padding although it is alone")
    inside = [i for i, flag in enumerate(real) if flag]
    if inside and inside != list(range(inside[0], inside[-1] + 1)):
        yield Breach(promise="attends-to-all-that-is-real", seen=f"row {index}: the attention mask has holes")
    if _pick(ids, real) != _pick(ids_alone, real_alone):
        seen = f"row {index} has {sum(real)} real tokens in the batch and {sum(real_alone)} alone, or others"
        yield Breach(promise="is-the-same-in-any-batch", seen=seen)
        return
    if labels is None or labels_alone is None:
        return
    if _pick(labels, real) != _pick(labels_alone, real_alone):
        yield Breach(promise="is-the-same-in-any-batch", seen=f"row {index} has other labels in the batch than alone")
    if any(label != IGNORED for label, flag in zip(labels, real, strict=True) if not flag):
        yield Breach(promise="trains-no-padding", seen=f"row {index} has labels on padding")
    if any(label not in (IGNORED, token) for label, token in zip(labels, ids, strict=True)):
        yield Breach(promise="labels-are-the-tokens", seen=f"row {index} has a label that is not its token")
    if isinstance(plain, Mapping):
        yield from _judge_typed(bench, index, _pick(ids, real), _pick(labels, real), read_row(bench, plain, 0))
    yield from _judge_text(bench, row, index, _pick(labels, real), len(inside))


def read_row(bench: Bench, batch: Batch, index: int) -> tuple[list[int], list[bool], list[int] | None]:
    """(ids, which of them are real, labels). A decoder's own sequence is its labels; what they ignore is padding."""
    labels = batch.get("labels")
    marked: list[int] | None = (
        labels[index].tolist() if isinstance(labels, torch.Tensor) and labels.dim() == 2 else None
    )
    if bench.is_apart:
        ids = marked or []
        return ids, [label != IGNORED for label in ids], marked
    ids = batch["input_ids"][index].tolist()
    mask = batch.get("attention_mask")
    real = [True] * len(ids)
    if isinstance(mask, torch.Tensor) and mask.dim() == 2:
        real = [bool(flag) for flag in mask[index].tolist()]
    return ids, real, marked if marked is not None and len(marked) == len(ids) else None


def _pick(values: Sequence[int], flags: Sequence[bool]) -> list[int]:
    return [value for value, flag in zip(values, flags, strict=True) if flag]


def _judge_typed(
    bench: Bench,
    index: int,
    ids: Sequence[int],
    labels: Sequence[int],
    plain: tuple[list[int], list[bool], list[int] | None],
) -> Iterator[Breach]:
    """What a text says must change neither the placeholders, nor the ends, nor how much of the prompt is left out."""
    plain_ids, plain_labels = _pick(plain[0], plain[1]), _pick(plain[2] or [], plain[1] if plain[2] else [])
    if bench.placeholder is not None and not bench.is_apart:
        seen, expected = ids.count(bench.placeholder), plain_ids.count(bench.placeholder)
        if seen != expected:
            text = f"row {index} has {seen} placeholders, and {expected} with a plain text"
            yield Breach(promise="keeps-its-placeholders", seen=text)
        if bench.placeholder in labels:
            yield Breach(promise="trains-no-placeholder", seen=f"row {index} has a placeholder among its labels")
    ends = bench.parts.end_ids
    seen, expected = sum(i in ends for i in labels), sum(i in ends for i in plain_labels)
    if seen > expected:
        text = f"row {index} trains {seen} ends, and {expected} with a plain text: typed characters became an end"
        yield Breach(promise="ends-once", seen=text)
    prompt, plain_prompt = labels.count(IGNORED), plain_labels.count(IGNORED)
    if not prompt and not bench.is_apart:
        yield Breach(promise="trains-target-and-end-only", seen=f"row {index} leaves no token out of the loss")
    if bench.is_own and plain_labels and prompt != plain_prompt:
        text = f"row {index} leaves {prompt} tokens out of the loss, and {plain_prompt} with a plain text"
        yield Breach(promise="trains-target-and-end-only", seen=text)


def _judge_text(bench: Bench, row: Row, index: int, labels: Sequence[int], length: int) -> Iterator[Breach]:
    """The labels read back as the text, or as its beginning where max_seq_length cut it."""
    tokenizer, text = bench.parts.tokenizer, str(row["text"])
    trained = [label for label in labels if label != IGNORED]
    body = trained[:-1] if bench.is_own else [label for label in trained if label not in bench.parts.end_ids]
    if bench.is_own and trained[-1:] != [tokenizer.eos_token_id]:
        yield Breach(promise="trains-target-and-end-only", seen=f"row {index} does not end in EOS")
        return
    read = _decode(tokenizer, body)
    # Some tokenizers normalise: what they give back for the text by itself is the text as they know it.
    known = (text, _decode(tokenizer, tokenizer.encode(text, add_special_tokens=False)))
    limit = bench.parts.config.data.max_seq_length
    if limit is not None and length >= limit:
        cut = read.rstrip("\ufffd")
        holds = not bench.is_own or any(whole.startswith(cut) for whole in known)  # where others cut is their affair
    else:
        holds = read in known if bench.is_own else any(whole.strip() in read for whole in known)
    if not holds:
        yield Breach(
            promise="keeps-the-text", seen=f"row {index}: the labels read {read[:80]!r}, the text is {text[:80]!r}"
        )


def _decode(tokenizer: Any, ids: Sequence[int]) -> str:
    return str(tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)) if ids else ""


def _judge_forward(bench: Bench, batch: Batch) -> Iterator[Breach]:
    """The model takes the batch, its loss is a number, and features land on the placeholders and nowhere else."""
    seen = bench.forward(batch)
    if isinstance(seen, Raised):
        yield Breach(promise="is-taken-by-the-model", seen=f"forward raised {seen.type}: {seen.message}")
        return
    loss = read_loss(seen.output)
    if isinstance(loss, torch.Tensor) and not bool(torch.isfinite(loss).all()) and not bench.loses_first_label:
        yield Breach(promise="has-a-finite-loss", seen=f"the loss is {float(loss.detach().float().mean())}")
    if bench.is_apart or bench.placeholder is None:
        return
    landings = bench.find_landings(batch, seen)
    if isinstance(landings, Unknown):
        return
    for landing in landings:
        ids, real, _ = read_row(bench, batch, landing.row)
        # The token that opens a sequence may have the same id as the placeholder; no feature lands there.
        first = real.index(True) if any(real) else -1
        opens = bench.placeholder == bench.parts.tokenizer.bos_token_id
        places = "".join(
            "1" if token == bench.placeholder and flag and not (opens and at == first) else "0"
            for at, (token, flag) in enumerate(zip(ids, real, strict=True))
        )
        if landing.landed != places:
            landed, expected = landing.landed.count("1"), places.count("1")
            text = f"row {landing.row}: features landed at {landed} tokens, {expected} are placeholders"
            yield Breach(promise="has-a-placeholder-for-each-feature", seen=text)
