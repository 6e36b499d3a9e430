"""One collator builder for every family: rows of metadata.json become the batch that forward expects.

What differs between families (tiling, normalisation, the names and shapes of the image arguments) is declared in
`harness.families`; what is the same for all (tokens, labels, truncation, padding) is here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch

from harness.config import Augmentation, Config
from harness.errors import UserError
from harness.families import Family, Geometry, Prepared
from harness.training.images import augment, open_image

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORED = -100
"""The label that the loss leaves out."""

Side = Literal["left", "right"]


class CollateError(UserError):
    """The rows cannot become a batch with this tokenizer and this configuration."""


class Sequenced(NamedTuple):
    """One row as tokens. `placement` is true at the placeholders, `supervised` at the tokens that are trained."""

    tokens: list[int]
    placement: list[bool]
    supervised: list[bool]
    image: Prepared


class Collator:
    """Rows in, batch out. Picklable, so that it also works in workers started by spawn.

    A row is a mapping with `text` and, unless it is a text-only row, an absolute `image_path`; rows that carry an
    `augmentation_seed` are augmented. Batches hold int64 `input_ids`, `attention_mask` and `labels` of shape [B, S],
    then the family's image arguments.
    """

    def __init__(
        self,
        *,
        family: Family,
        tokenizer: PreTrainedTokenizerBase,
        geometry: Geometry,
        prompt: str,
        image_dtype: torch.dtype,
        max_length: int | None,
        augmentation: Augmentation,
    ) -> None:
        self.family, self.tokenizer, self.geometry = family, tokenizer, geometry
        self.image_dtype, self.max_length, self.augmentation = image_dtype, max_length, augmentation
        self.image_token_id = _find_image_token(tokenizer, geometry.image_token)
        self._protected = _compile_protected(tokenizer, geometry.image_token)
        self._prompt = _split_prompt(prompt, geometry.image_token)
        if tokenizer.eos_token_id is None:
            raise CollateError(
                "the tokenizer has no EOS token, so no target can end; set eos_token in its configuration"
            )

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The training batch: prompt and target, labels on the target and its EOS only."""
        return self._assemble([self._sequence(row, with_target=True) for row in rows], self.tokenizer.padding_side)

    def prompts(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The batch that generation starts from: prompts only, padded on the left, without labels."""
        batch = self._assemble([self._sequence(row, with_target=False) for row in rows], "left")
        del batch["labels"]
        return batch

    def smallest_length(self, row: Mapping[str, Any]) -> int:
        """The tokens that the row's image and prompt, one token of text and the EOS need."""
        return len(self._sequence(row, with_target=False).tokens) + 2

    def _sequence(self, row: Mapping[str, Any], *, with_target: bool) -> Sequenced:
        prepared = self.family.prepare(self._open(row), self.geometry, self.image_dtype)
        before, after = self._prompt if prepared.tokens else ("", "".join(self._prompt).lstrip("\n"))
        bos = [] if self.tokenizer.bos_token_id is None else [self.tokenizer.bos_token_id]
        head, tail = [*bos, *self._tokenize(before)], self._tokenize(after)
        target = self._cut(row, len(head) + prepared.tokens + len(tail)) if with_target else []
        tokens = [*head, *[self.image_token_id] * prepared.tokens, *tail, *target]
        placement = [False] * len(tokens)
        placement[len(head) : len(head) + prepared.tokens] = [True] * prepared.tokens
        supervised = [False] * (len(tokens) - len(target)) + [True] * len(target)
        return Sequenced(tokens, placement, supervised, prepared)

    def _open(self, row: Mapping[str, Any]) -> Any:
        path = row.get("image_path")
        if path is None:
            return None
        image = open_image(Path(path))
        seed = row.get("augmentation_seed")
        return image if seed is None else augment(image, self.augmentation, seed)

    def _cut(self, row: Mapping[str, Any], prefix: int) -> list[int]:
        """The target's tokens and EOS, cut to what max_seq_length leaves. Prompt and image are never cut."""
        target = self._tokenize(row["text"])
        if self.max_length is not None:
            room = self.max_length - prefix - 1
            if room < min(1, len(target)):
                needed = prefix + 1 + min(1, len(target))
                seen = f"max_seq_length is {self.max_length}, but image and prompt alone have {prefix} tokens"
                advice = f"set data.max_seq_length to at least {needed}, and more for the text"
                raise CollateError(f"{row.get('image_path', 'a row without image')}: {seen}; {advice}")
            target = target[:room]
        return [*target, self.tokenizer.eos_token_id]

    def _tokenize(self, text: str) -> list[int]:
        """Text as text: a special token typed inside it stays characters.

        Tokenizers differ, by version and by kind, in how special splitting is switched off; cutting inside every
        occurrence works with all of them.
        """
        cuts = [0, *(match.start() + 1 for match in self._protected.finditer(text)), len(text)]
        pieces = [text[start:stop] for start, stop in pairwise(cuts) if stop > start]
        return [token for piece in pieces for token in self.tokenizer.encode(piece, add_special_tokens=False)]

    def _assemble(self, sequences: Sequence[Sequenced], side: str) -> dict[str, Any]:
        """Pad everything that runs along the sequence on the same side, by position, never by token id."""
        if not sequences:
            raise CollateError(
                "seen no rows, expected at least one; a dataset that drops its columns gives empty batches"
            )
        pad = self.tokenizer.pad_token_id
        shape = len(sequences), max(len(one.tokens) for one in sequences)
        input_ids = torch.full(shape, self.tokenizer.eos_token_id if pad is None else pad)
        attention_mask = torch.zeros(shape, dtype=torch.long)
        labels = torch.full(shape, IGNORED)
        placement = torch.zeros(shape, dtype=torch.bool)
        for row, one in enumerate(sequences):
            start = shape[1] - len(one.tokens) if side == "left" else 0
            where = slice(start, start + len(one.tokens))
            input_ids[row, where] = tokens = torch.tensor(one.tokens)
            attention_mask[row, where] = 1
            labels[row, where] = tokens.where(torch.tensor(one.supervised), IGNORED)
            placement[row, where] = torch.tensor(one.placement)
        # input_ids come first because Trainer counts the rows of a batch on the first tensor it meets.
        batch = {"input_ids": input_ids, "attention_mask": attention_mask, "labels": labels}
        return {**batch, **self.family.assemble([one.image for one in sequences], placement)}


def build_collator(
    config: Config,
    *,
    family: Family,
    tokenizer: PreTrainedTokenizerBase,
    image_dtype: torch.dtype,
    directory: Path | None = None,
) -> Collator:
    """The collator for one configuration. `directory` is the model directory when `base_model` is a hub id.

    `image_dtype` is the dtype of the vision weights. Raises FamilyError for sizes the family cannot have, CollateError
    for a tokenizer that lacks what a batch needs.
    """
    directory = directory or config.model.directory
    if directory is None:
        raise CollateError(f"{config.model.base_model} is not a directory; pass the directory it was downloaded to")
    return Collator(
        family=family,
        tokenizer=tokenizer,
        geometry=family.read_geometry(directory, config.data.preprocessing),
        prompt=family.prompt if config.data.prompt is None else config.data.prompt,
        image_dtype=image_dtype,
        max_length=config.data.max_seq_length,
        augmentation=config.data.augmentation,
    )


def _find_image_token(tokenizer: PreTrainedTokenizerBase, image_token: str) -> int:
    found = tokenizer.convert_tokens_to_ids(image_token)
    if not isinstance(found, int) or found == tokenizer.unk_token_id:
        raise CollateError(
            f"the tokenizer has no token {image_token}; fetch the tokenizer files of the same revision again"
        )
    return found


def _compile_protected(tokenizer: PreTrainedTokenizerBase, image_token: str) -> re.Pattern[str]:
    """The control tokens that typed text must not turn into. Layout tokens such as <td> are output like any other.

    The look-ahead also finds occurrences that overlap.
    """
    words = sorted({image_token, *tokenizer.all_special_tokens}, key=len, reverse=True)
    return re.compile(f"(?=(?:{'|'.join(map(re.escape, words))}))")


def _split_prompt(prompt: str, image_token: str) -> tuple[str, str]:
    """The prompt before and after the image; a prompt that names no image gets it in front."""
    before, found, after = prompt.partition(image_token)
    if not found:
        return "", f"\n{prompt}"
    if image_token in after:
        message = (
            f"data.prompt names {image_token} {prompt.count(image_token)} times, expected once: a row has one image"
        )
        raise CollateError(message)
    return before, after
