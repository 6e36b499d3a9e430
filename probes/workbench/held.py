"""The parts under test as a command made them: the other way in, which meets the YAML's at `Assembly`.

Nothing is loaded again and nothing of ours stands in: model with its adapter, collator, rows and processor are those the
training would have used. Our own collator cannot read rows of somebody's own form, so no batch of ours is held against
theirs, and what needs one is Unknown with that reason.
"""

from __future__ import annotations

import bisect
import copy
import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from preflight_ocr.harness.config.schema import Config
from preflight_ocr.harness.facts import Raised, Row, Unknown
from preflight_ocr.harness.families.anatomy import unwrap
from preflight_ocr.harness.foreign.rows import get_at, put_at
from preflight_ocr.harness.holding.held import Held
from preflight_ocr.harness.training.images import ImageError
from preflight_ocr.probes.workbench.assembly import CARRIERS, SAMPLED_ROWS, Assembly, limit_ids
from preflight_ocr.probes.workbench.batches import IGNORED, MOST_ALIGNED, RowReader, Span, _strip, list_text
from preflight_ocr.probes.workbench.model import Built
from preflight_ocr.probes.workbench.order import arrange
from preflight_ocr.probes.workbench.rows import (
    Spot,
    Told,
    find_pictures,
    open_picture,
    replace_picture,
    tell_texts,
)
from preflight_ocr.probes.workbench.tracing import attempt

LOOKED_AT = 24  # rows of the training set
NO_REFERENCE = "the rows have a form of the command's own, so that our own collator makes no batch to compare with"
NO_TARGET = "what the rows ask to be learnt was not found: no text of a row stands word for word in what is trained"
IMAGE_KEYS = ("image_token_id", "image_token_index", "image_pad_token_id")


class NotABatch(Exception):
    """The collator returned something that forward cannot be called with by name."""


class LoaderRefused(Exception):
    """The trainer raised when it was asked for its training loader: the run would end there."""


class HeldAssembly(Assembly):
    """The parts of a command that was held. With `adapted` the model keeps its adapter, else it is taken off."""

    no_reference = NO_REFERENCE
    no_trainer = "the trainer that was held makes no step here: its way of accumulating is not measured"

    def __init__(self, held: Held, config: Config, *, directory: Path, adapted: bool) -> None:
        self.held, self.config, self.adapted = held, config, adapted
        self.ids_below: int | None = None
        self._directory = directory

    @property
    def no_pickling(self) -> str:  # type: ignore[override]
        """A loader without workers hands its collator to nobody."""
        return "" if self.held.workers else "the run's loader starts no worker that the collator would be sent to"

    @property
    def has_own_trainer(self) -> bool:
        """Gradient checkpointing is switched on by the trainer that was held."""
        return True

    @cached_property
    def _loaded(self) -> tuple[Built, Raised | None]:
        model = self.held.model
        if not self.adapted:
            model = take_off(model)
        load = next(iter(reversed(self.held.loads)), None)
        if load is None:
            return Built(model=model.eval(), weights="random"), None
        return Built(
            model=model.eval(), weights=load.weights, cut=load.cut, bytes_before_cut=load.bytes_before_cut
        ), None

    def adapt(self) -> Any:
        """The model as it was held: the adapter is on it already."""
        return self.model

    def list_carriers(self) -> tuple[str, ...]:
        """The modules that can carry an adapter, with what an adapter put around them counted as one."""
        names: list[str] = []
        inside: tuple[str, ...] = ()
        for name, module in self.bare.named_modules():
            if inside and name.startswith(inside):
                continue
            base = getattr(module, "base_layer", None)
            if isinstance(base, CARRIERS):
                names.append(name)
                inside = (*inside, f"{name}.")
            elif isinstance(module, CARRIERS):
                names.append(name)
        return tuple(names)

    @property
    def directory(self) -> Path:
        """The folder with the model's files."""
        return self._directory

    @cached_property
    def processor(self) -> Any:
        """What the command prepares text and pictures with: the trainer's, the collator's, else what the files give.

        A trainer may have been given the part that prepares pictures alone.
        """
        given = self.held.processor
        if hasattr(given, "tokenizer") or hasattr(given, "eos_token_id"):
            return given
        found = find_processor(self.held.collate) or find_processor(self.held.rows)
        return self.open_processor() if found is None else found

    @property
    def reference(self) -> None:
        """None: see NO_REFERENCE."""
        return

    @cached_property
    def image_token_id(self) -> int | None:
        """As the model's configuration numbers it, or its processor, or else the family's own declaration."""
        for owner in (getattr(self.bare, "config", None), self.processor):
            for key in IMAGE_KEYS:
                if isinstance(found := getattr(owner, key, None), int):
                    return found
        ours = attempt(self._build_ours)
        return None if ours is None or isinstance(ours, Raised) else ours.image_token_id

    @cached_property
    def rows(self) -> tuple[Any, ...]:
        """The first rows of the training set, as its own code yields them."""
        rows = self.held.rows
        if rows is None:
            raise ValueError("the command gave no training rows")
        if hasattr(rows, "__getitem__") and hasattr(rows, "__len__"):
            return tuple(rows[index] for index in range(min(len(rows), LOOKED_AT)))
        return tuple(itertools.islice(iter(rows), LOOKED_AT))

    @cached_property
    def sample(self) -> tuple[Any, ...]:
        """As many rows as a batch of the run has, three at most: those with the most elongated and the largest page. They
        are in the order in which the collator leaves them."""
        most = max(1, min(SAMPLED_ROWS, self.held.batch_size, len(self.rows)))
        sized = []
        for index, row in enumerate(self.rows):
            pages = [
                page for spot in find_pictures(row) if isinstance(page := attempt(_opener(row, spot)), Image.Image)
            ]
            sized.append(
                (
                    index,
                    max((max(p.width / p.height, p.height / p.width) for p in pages), default=0.0),
                    sum(p.width * p.height for p in pages),
                    sum(map(len, tell_texts(row).texts)),
                )
            )
        wishes = [max(sized, key=lambda entry, key=key: entry[key])[0] for key in (1, 2, 3)]  # type: ignore[misc]
        chosen = list(dict.fromkeys([*wishes, *(index for index, *_ in sized)]))[:most]
        rows = [self.rows[index] for index in sorted(chosen)]
        return arrange(self, rows, [tell_texts(row).texts for row in rows])

    @cached_property
    def collate(self) -> Any:
        """The collator of the training loader. Its batch is what forward is called with, by name."""
        if self.held.collate is None:
            raise LookupError("the command gave no collator and no loader")
        return _Collate(self.held.collate, self.held.loader_error, self.held.unpack)

    def require_batch(self) -> None:
        """Raise NotABatch where the command takes its batches apart by itself. What the collator raises is kept."""
        made: Any = attempt(lambda: self.seeded(self.collate, self.sample))
        if isinstance(made, Raised) and made.type == NotABatch.__name__:
            raise NotABatch(made.message)

    def seeded(self, collate: Any, rows: Sequence[Any]) -> Mapping[str, Any]:
        """Collate copies of the rows with random numbers held still: a collator may write into the rows that it gets."""
        batch: Mapping[str, Any] = self.chance.hold(lambda: collate([copy_row(row) for row in rows]))
        return batch if self.ids_below is None else limit_ids(batch, self.ids_below)

    @cached_property
    def reader(self) -> RowReader:
        """Reads this model's batches token by token, targets found wherever they stand."""
        return HeldReader(
            self.tokenizer,
            image_token_id=self.image_token_id,
            mask_argument=self.family.argument("placement_mask") if self.family else None,
            end_ids=self.end_ids,
            reads_labels=self.is_encoder_decoder,
        )

    def open_page(self, row: Any) -> Image.Image:
        """The first picture of a row."""
        return open_picture(*self._locate(row))

    def _locate(self, row: Any) -> tuple[Any, Spot]:
        """The row with the whole path of its first picture, and where that stands. Raises ImageError where there is none."""
        spots = find_pictures(row)
        if not spots:
            raise ImageError("the row holds no picture that can be found: it was prepared before the collator")
        spot = spots[0]
        if spot.form != "file":
            return row, spot
        named = str(get_at(row, spot.path))
        found = next((path for path in self._opened if path.endswith(named)), None)
        if Path(named).is_file() or found is None:
            return row, spot
        return put_at(row, spot.path, found), spot

    @cached_property
    def _opened(self) -> tuple[str, ...]:
        """The pictures that the collator opens for the rows: what a row names may lie in a folder that only it knows."""
        opened: list[str] = []
        original = Image.open

        def note(file: Any, *given: Any, **named: Any) -> Any:
            if isinstance(file, str | Path):
                opened.append(str(Path(file).absolute()))
            return original(file, *given, **named)

        Image.open = note  # type: ignore[assignment]
        try:
            attempt(lambda: self.seeded(self.collate, self.sample))
        finally:
            Image.open = original
        return tuple(dict.fromkeys(opened))

    def name_page(self, row: Any) -> str:
        spots = find_pictures(row)
        if spots and spots[0].form == "file":
            return str(get_at(row, spots[0].path))
        return f"row {next((i for i, other in enumerate(self.rows) if other is row), 0)}"

    def change_page(self, row: Any, path: Path, apply: Callable[[Image.Image], Image.Image]) -> Any:
        """The row with its first picture changed; one that is a tensor already is turned into its negative, mirrored."""
        prepared = _find_prepared(row)
        if prepared is not None and not find_pictures(row):
            return {**row, prepared: -torch.as_tensor(row[prepared]).flip(-1)}
        located, spot = self._locate(row)
        return replace_picture(located, spot, apply(open_picture(located, spot)), path)

    def lose_page(self, row: Any) -> Any:
        spots = [spot for spot in find_pictures(row) if spot.form == "file"]
        if not spots:
            return None
        return put_at(row, spots[0].path, str(Path(str(get_at(row, spots[0].path))).with_name("no such page.png")))

    def list_texts(self, most: int) -> list[str]:
        return [text for row in self.rows[:most] for text in tell_texts(row).texts]

    @property
    def mixes_rows(self) -> bool:
        """A batch of one row never does."""
        return self.held.batch_size > 1

    def find_bare_row(self) -> Any:
        """A row without a picture; None where no row has one, as when they were prepared before the collator."""
        with_pictures = [bool(find_pictures(row)) for row in self.rows]
        return (
            next((r for r, has in zip(self.rows, with_pictures, strict=True) if not has), None)
            if any(with_pictures)
            else None
        )


def _find_prepared(row: Any) -> str | None:
    """The key of pixels that a row holds as a tensor, prepared before the collator."""
    if not isinstance(row, Mapping):
        return None
    for name, value in row.items():
        if "pixel" in str(name) or name in ("images", "flattened_patches"):
            dtype, shape = str(getattr(value, "dtype", "")), getattr(value, "shape", ())
            if "float" in dtype and len(shape) >= 2:
                return str(name)
    return None


def has_adapter(model: Any) -> bool:
    """Whether any module of the model carries an adapter."""
    return any(getattr(module, "lora_A", None) is not None for module in model.modules())


class _Collate:
    """The held collator, its batch as a mapping. Pickled as the collator that it is."""

    def __init__(self, inner: Any, refusal: str, unpack: Callable[[Any], Mapping[str, Any]] | None = None) -> None:
        self.inner, self.refusal, self.unpack = inner, refusal, unpack

    def __call__(self, rows: Sequence[Any]) -> Mapping[str, Any]:
        if self.refusal:
            raise LoaderRefused(f"the trainer made no loader: {self.refusal}")
        batch = self.inner(list(rows))
        if isinstance(batch, Mapping):
            return dict(batch)
        if isinstance(batch, tuple | list) and len(batch) == 2 and isinstance(batch[0], Mapping):
            extra = {"labels": batch[1]} if isinstance(batch[1], torch.Tensor) else {}
            return {**batch[0], **extra}
        if self.unpack is not None:
            return dict(self.unpack(batch))
        raise NotABatch(f"the collator returns a {type(batch).__name__}, which the command itself takes apart")

    def __reduce__(self) -> Any:
        return _Collate, (self.inner, self.refusal)


def _opener(row: Any, spot: Any) -> Callable[[], Image.Image]:
    return lambda: open_picture(row, spot)


def copy_row(row: Any) -> Any:
    """A copy deep enough for a collator to write into; a row that cannot be copied is given as it is."""
    copied = attempt(lambda: copy.deepcopy(row))
    return row if isinstance(copied, Raised) else copied


def take_off(model: Any) -> Any:
    """The model without the adapter that PEFT put on it."""
    if hasattr(model, "peft_config") and hasattr(model, "unload"):
        return model.unload()
    return model


def find_processor(owner: Any) -> Any:
    """A processor or tokenizer that an object or a function holds on to, processors first; None where there is none."""
    from transformers import PreTrainedTokenizerBase, ProcessorMixin

    values = list(getattr(owner, "__dict__", {}).values())
    inner = getattr(owner, "data_collator", None)
    if inner is not None:
        values += list(getattr(inner, "__dict__", {}).values())
    for function in (owner, inner, type(owner).__dict__.get("__call__")):
        function = getattr(function, "func", function)
        values += list(getattr(function, "keywords", {}).values())
        values += [cell.cell_contents for cell in getattr(function, "__closure__", None) or ()]
        names = getattr(getattr(function, "__code__", None), "co_names", ())
        values += [getattr(function, "__globals__", {}).get(name) for name in names]
    for kind in (ProcessorMixin, PreTrainedTokenizerBase):
        found = next((value for value in values if isinstance(value, kind)), None)
        if found is not None:
            return found
    return None


class HeldReader(RowReader):
    """Finds what a row asks to be learnt anywhere among its tokens, in one turn or several.

    Where that cannot be told for every row, no row is told: it is the caller's to be silent then.
    """

    def read(self, batch: Mapping[str, Any], rows: Sequence[Any]) -> tuple[Row, ...] | Unknown:
        """One Row per row of the batch, or Unknown where a row's target is not certain."""
        spans = self.find_spans(batch, rows)
        if len(spans) != len(rows):
            return Unknown(reason=f"the batch has {len(spans)} rows for {len(rows)}, so no row can be told")
        read = []
        for span, row in zip(spans, rows, strict=True):
            turns = self._choose(batch, span, tell_texts(row))
            if not turns:
                return Unknown(reason=NO_TARGET)
            roles, cut = self._tell_turns(self._list_ids(batch, span), self._list_inside(batch, span), turns)
            longest = max(turns, key=len)
            read.append(
                self._write_row(batch, span._replace(target=longest), roles, cut=cut)
                if self.sequence == "input_ids"
                else self._write_labels(batch, span.sequence, roles, target=longest, cut=cut)
            )
        return tuple(read)

    def find_spans(self, batch: Mapping[str, Any], rows: Sequence[Any]) -> tuple[Span, ...]:
        """Where the rows stand: each in a sequence of its own, or several packed into one, which the last of what each asks
        to be learnt tells apart."""
        sequences = batch[self.sequence]
        whole = tuple(Span(index, 0, sequences.shape[1], "") for index in range(len(sequences)))
        if not len(sequences) < len(rows) <= MOST_ALIGNED or self.sequence != "input_ids":
            return whole
        trained = "".join(self._decode_plain(self._list_trained(batch, span)) for span in whole)

        def choose(told: Told) -> str:
            here = [text.strip() for text in told.texts if text.strip() and text.strip() in trained]
            return here[-1] if here and told.certain else max(here, key=len, default="")

        return self._find_packed(batch, [choose(tell_texts(row)) for row in rows]) or whole

    def find_text(self, batch: Mapping[str, Any], rows: Sequence[Any]) -> list[tuple[Span, list[int]]]:
        """Each row's span, and the positions of its text tokens, whatever they are there for."""
        found = []
        for span in self.find_spans(batch, rows):
            roles, _ = self._tell_roles(self._list_ids(batch, span), self._list_inside(batch, span), "")
            found.append((span, list_text(span, roles)))
        return found

    def _list_ids(self, batch: Mapping[str, Any], span: Span) -> list[int]:
        ids: list[int] = batch[self.sequence][span.sequence, span.start : span.stop].tolist()
        pad = self.tokenizer.pad_token_id
        return [pad if i == IGNORED and pad is not None else i for i in ids] if self.sequence == "labels" else ids

    def _list_inside(self, batch: Mapping[str, Any], span: Span) -> str:
        if self.sequence == "labels":
            return "".join("0" if label == IGNORED else "1" for label in batch["labels"][span.sequence].tolist())
        return self._cut_out(batch, span)[1]

    def _choose(self, batch: Mapping[str, Any], span: Span, told: Told) -> tuple[str, ...]:
        """The texts that stand in this row's tokens: all that are certain, else the longest in what is trained."""
        whole = self._decode_plain(self._list_ids(batch, span))
        if told.certain:
            here = tuple(text.strip() for text in told.texts if text.strip() in whole)
            return here or tuple(text.strip() for text in told.texts[-1:] if text.strip()[:16] in whole)
        trained = self._decode_plain(self._list_trained(batch, span))
        inside = [text.strip() for text in told.texts if text.strip() and text.strip() in trained]
        if not inside:
            return ()
        is_masked = len(trained) < len(whole)
        return (max(inside, key=len) if is_masked else inside[0],)

    def _list_trained(self, batch: Mapping[str, Any], span: Span) -> list[int]:
        labels = batch.get("labels")
        if not isinstance(labels, torch.Tensor) or labels.dim() != 2 or span.sequence >= len(labels):
            return self._list_ids(batch, span)
        kept = [label for label in labels[span.sequence, span.start : span.stop].tolist() if label != IGNORED]
        return kept or self._list_ids(batch, span)

    def _decode_plain(self, ids: Sequence[int]) -> str:
        kept = [i for i in ids if i >= 0 and i != self.image_token_id]
        return str(self.tokenizer.decode(kept, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def _tell_turns(self, ids: list[int], attended: str, turns: Sequence[str]) -> tuple[str, bool]:
        """Roles with each turn's tokens as target and the end token right after it as its end.

        What follows the last turn's end belongs to the template and is nobody's: it is not told.
        """
        tokenizer = self.tokenizer
        start, stop = _strip(
            ids, tokenizer.pad_token_id, attended, keep_one=tokenizer.eos_token_id == tokenizer.pad_token_id
        )
        roles = ["."] * len(ids)
        for i in range(start, stop):
            roles[i] = "i" if ids[i] == self.image_token_id else "p"
        if start < stop and tokenizer.bos_token_id is not None and ids[start] == tokenizer.bos_token_id:
            roles[start] = "b"
        text = [i for i in range(start, stop) if roles[i] in "pb"]
        kept = [ids[i] for i in text]
        whole = self._decode_plain(kept)
        limit, cut, last = len(whole), False, True
        for turn in reversed(turns):
            at = whole.rfind(turn, 0, limit)
            length = len(turn)
            if at < 0 and last:  # the end of the row may have been cut
                at = whole.rfind(turn[:16], 0, limit)
                cut = at >= 0 and turn.startswith(whole[at:limit].rstrip())
                length = len(whole[at:limit].rstrip())
            if at < 0 or (last and cut is False and length != len(turn)):
                continue
            first, after = self._find_span(kept, at, at + length)
            for i in text[first:after]:
                roles[i] = "t"
            self._mark_end(ids, text, after, roles, is_last=last)
            limit, last = at, False
        return "".join(roles), cut

    def _find_span(self, kept: Sequence[int], at: int, end: int) -> tuple[int, int]:
        """The tokens [first, after) that hold the characters [at, end) of the decoded text."""
        lengths = _Lengths(self, kept)
        first = bisect.bisect_right(lengths, at) - 1
        # The last byte of a letter adds nothing to the length: what was read of the letter before it counts as one already.
        after = bisect.bisect_right(lengths, end) - 1
        while after > first and kept[after - 1] in self.end_ids:
            after -= 1
        return max(first, 0), after

    def _mark_end(self, ids: list[int], text: Sequence[int], after: int, roles: list[str], *, is_last: bool) -> None:
        place = after
        while (
            place < len(text)
            and ids[text[place]] not in self.end_ids
            and not self._decode_plain([ids[text[place]]]).strip()
        ):
            place += 1
        if place < len(text) and ids[text[place]] in self.end_ids:
            for i in text[after:place]:
                roles[i] = "?"
            roles[text[place]] = "e"
            place += 1
        else:
            place = after
        if is_last:
            for i in text[place:]:
                roles[i] = "?"


class _Lengths(Sequence[int]):
    """How long the decoded text of the first n tokens is, for every n, without decoding more than is asked for."""

    def __init__(self, reader: HeldReader, ids: Sequence[int]) -> None:
        self.reader, self.ids = reader, ids

    def __len__(self) -> int:
        return len(self.ids) + 1

    def __getitem__(self, count: Any) -> Any:
        return len(self.reader._decode_plain(self.ids[:count]))


def unwrap_model(model: Any) -> Any:
    """The Hugging Face model inside whatever the command put around it."""
    return unwrap(model)[0]
