"""The parts that generated rows are driven through: a collator, what reads its batches, and the model behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import torch

from preflight_ocr.harness.commands.fuzz.samples import Page, Sample, Sheet, write_pages
from preflight_ocr.harness.config.errors import UserError
from preflight_ocr.harness.facts import Landing, Raised, Unknown
from preflight_ocr.harness.training.collate import Collator
from preflight_ocr.harness.training.redirects import redirect_cuda
from preflight_ocr.probes.forward.forward import find_reading
from preflight_ocr.probes.workbench.assembly import Assembly
from preflight_ocr.probes.workbench.calls import Seen, read_loss, watch
from preflight_ocr.probes.workbench.landing import read_landing
from preflight_ocr.probes.workbench.tracing import attempt

Row = Mapping[str, Any]
Batch = Mapping[str, Any]
MOST_ROWS = 3  # in a sample
PLAIN_TEXT = "a"  # a text that cannot be mistaken for anything


class Refused(msgspec.Struct, frozen=True):
    """The collator said in words meant for a user that it cannot take these rows."""

    message: str


class Bench:
    """One project's collator and model, ready for rows. `folder` is where pages are painted."""

    def __init__(self, parts: Assembly, folder: Path) -> None:
        self.parts, self.folder = parts, folder
        self.most_rows = MOST_ROWS
        self.is_own = isinstance(parts.collate, Collator)
        self.is_apart = parts.is_encoder_decoder
        self.sequence = "labels" if self.is_apart else "input_ids"
        self.taken = 0  # samples that became a batch
        self._plain: dict[str | None, Batch | Refused | Raised] = {}

    @cached_property
    def takes_bare_rows(self) -> bool:
        """Whether rows without a picture may come: ours is asked to take or refuse them, a foreign one has seen them."""
        return self.is_own or any(not row.get("image_path") for row in self.parts.rows)

    @cached_property
    def typed(self) -> tuple[str, ...]:
        """Control tokens that a text may happen to contain, written out: placeholders, ends, whatever is special."""
        tokenizer = self.parts.tokenizer
        ids = {*self.parts.end_ids, *([self.placeholder] if self.placeholder is not None else [])}
        known = tokenizer.added_tokens_decoder
        words = {*tokenizer.all_special_tokens, *(known[number].content for number in ids if number in known)}
        return tuple(sorted(words))

    @property
    def placeholder(self) -> int | None:
        """The id that stands for a piece of the picture."""
        return self.parts.image_token_id

    def collate(self, rows: Sequence[Row]) -> Batch | Refused | Raised:
        """The batch of these rows under a fixed seed, or how it ended otherwise."""
        return attempt(lambda: self._collate_or_refuse(rows))

    def _collate_or_refuse(self, rows: Sequence[Row]) -> Batch | Refused:
        try:
            return self.parts.seeded(self.parts.collate, rows)
        except UserError as error:
            return Refused(str(error))

    def collate_plain(self, row: Row) -> Batch | Refused | Raised:
        """The same page (or none) with a text of one letter, by itself: what any text is held against."""
        path = row.get("image_path")
        key = None if path is None else str(path)
        if key not in self._plain:
            self._plain[key] = self.collate([{**row, "text": PLAIN_TEXT}])
        return self._plain[key]

    @cached_property
    def usual(self) -> Batch | Refused | Raised:
        """The batch of an ordinary page: the dtypes and ranks that any other batch must have too."""
        sample = Sample(sheets=(Sheet(text="usual", pages=(Page(width=200, height=120),)),))
        return self.collate(write_pages(sample, self.folder))

    @cached_property
    def loses_first_label(self) -> bool:
        """Whether the model shifts a decoder's labels once more, so that a target of one token leaves it nothing."""
        batch = self.usual
        seen = self.forward(batch) if self.is_apart and isinstance(batch, Mapping) else None
        if not isinstance(seen, Seen) or not isinstance(batch, Mapping):
            return False
        return bool(find_reading(read_loss(seen.output), seen.logits, batch.get("labels")) == "next")

    def forward(self, batch: Batch) -> Seen | Raised:
        """One forward of the bare model without gradients, on the CPU."""
        torch.manual_seed(0)
        with redirect_cuda():
            return watch(self.parts, batch)

    def find_landings(self, batch: Batch, seen: Seen) -> tuple[Landing, ...] | Unknown:
        """Where image features arrived in that forward, row by row."""
        parts = self.parts
        with redirect_cuda():
            return read_landing(parts.bare, parts.anatomy, batch, seen.trace, image_token_id=self.placeholder)
