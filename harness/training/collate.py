"""One collator builder for every family: rows of metadata.json become the batch that forward expects.

What differs between families (the prompt, the picture, the names and shapes of the image arguments) is declared in
`harness/families`; what is the same for all (targets, labels, truncation, padding) is here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import torch
from PIL import Image

from preflight_ocr.harness.config.errors import UserError
from preflight_ocr.harness.config.schema import Augmentation, Config
from preflight_ocr.harness.families import Family, FamilyError, Opening, Prepared
from preflight_ocr.harness.families.family import Intake
from preflight_ocr.harness.families.positions import RopePositions
from preflight_ocr.harness.families.preparation import OwnIntake
from preflight_ocr.harness.training.cache import PixelCache
from preflight_ocr.harness.training.images import augment, open_image, read_content

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORED = -100
"""The label that the loss leaves out."""


_MOST_PROMPTS = 256  # prompts of rows that are kept ready
_KEPT_WHILE_LOOKING = 256 * 2**20  # bytes of prepared pages, in a folder that goes with the process


class CollateError(UserError):
    """The rows cannot become a batch with this tokenizer and this configuration."""


class Sequenced(NamedTuple):
    """One row: its prompt with the picture, and the target's tokens with what ends them (none for a prompt alone)."""

    prompt: Prepared
    target: list[int]


class Collator:
    """Rows in, batch out. Picklable, so that it also works in workers started by spawn.

    A row is a mapping with `text` and, unless it is a text-only row, an absolute `image_path` or the picture's bytes in
    `page`; rows that carry an `augmentation_seed` are augmented. A row's `prompt` is asked where the configuration has
    none. Batches hold int64 `input_ids`, `attention_mask` and `labels` of shape [B, S], then the family's image arguments.
    """

    def __init__(
        self,
        *,
        family: Family,
        tokenizer: PreTrainedTokenizerBase,
        opening: Opening,
        max_length: int | None,
        augmentation: Augmentation,
        positions: RopePositions | None = None,
        kept_in: Path | None = None,
        kept_bytes: int = 0,
    ) -> None:
        self.family, self.tokenizer, self.image_dtype = family, tokenizer, opening.image_dtype
        self.max_length, self.augmentation = max_length, augmentation
        self.positions = positions
        self.intake = family.open_intake(opening)
        self._opening, self._asking = opening, dict[str, Intake]()
        self.image_token_id = self.intake.image_token_id
        self._cache: PixelCache | None = None
        if kept_in is not None and isinstance(self.intake, OwnIntake):
            self._cache = PixelCache(kept_in, limit=kept_bytes, recipe=self.intake.recipe)
        self._protected = _compile_protected(tokenizer, self.intake.image_token, opening.directory)
        if tokenizer.eos_token_id is None:
            raise CollateError(
                "the tokenizer has no EOS token, so no target can end; set eos_token in its configuration"
            )

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The training batch: prompt and target, labels on the target and its EOS only."""
        sequences = [self._sequence(row, with_target=True) for row in rows]
        batch = self._assemble(sequences, self.tokenizer.padding_side, with_target=True)
        return batch if self.positions is None else {**batch, "position_ids": self.positions(batch)}

    def prompts(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The batch that generation starts from: prompts only, padded on the left, without labels.

        There are no positions in it: `generate` computes its own, token by token.
        """
        return self.join_prompts([self.prepare_prompt(row) for row in rows])

    def prepare_prompt(self, row: Mapping[str, Any]) -> Sequenced:
        """One row's prompt with its picture, for `join_prompts`. Raises ImageError, FamilyError and CollateError.

        In place of `image_path` a row may carry `opened`, an upright picture of mode L or RGB.
        """
        return self._sequence(row, with_target=False)

    def join_prompts(self, sequences: Sequence[Sequenced]) -> dict[str, Any]:
        """The batch of prompts that were prepared before."""
        return self._assemble(sequences, self.tokenizer.padding_side if self.family.encoder_decoder else "left")

    def smallest_length(self, row: Mapping[str, Any]) -> int:
        """The tokens that the row's image and prompt, one token of text and the EOS need."""
        return self._count_before(self._sequence(row, with_target=False).prompt) + 2

    def _sequence(self, row: Mapping[str, Any], *, with_target: bool) -> Sequenced:
        try:
            prompt = self._prepare(row)
        except FamilyError as error:
            raise FamilyError(f"{_name_row(row)}: {error}") from error
        return Sequenced(prompt, self._cut(row, self._count_before(prompt)) if with_target else [])

    def _count_before(self, prompt: Prepared) -> int:
        """The tokens that stand before the target in its own sequence."""
        return 0 if self.family.encoder_decoder else len(prompt.tokens)

    def _prepare(self, row: Mapping[str, Any]) -> Prepared:
        """The row's prompt with its picture, which may have been kept from before unless the row is augmented."""
        opened, intake = row.get("opened"), self._choose_intake(row)
        if isinstance(opened, Image.Image):
            return intake.prepare(opened)
        path, page = row.get("image_path"), row.get("page")
        if path is None and page is None:
            return intake.prepare(None)
        path = "a picture inside the row" if path is None else path
        if not isinstance(path, str | Path):
            seen = f"image_path is {str(path)[:200]}, expected one path"
            raise CollateError(f"{_name_row(row)}: {seen}; a row has one image: join its pages, or give each a row")
        seed = row.get("augmentation_seed")
        if self._cache is not None and seed is None and isinstance(intake, OwnIntake):
            return intake.place(_recall(self._cache, intake, Path(path), page))
        image = open_image(Path(path), content=page, keeps_grey=isinstance(intake, OwnIntake))
        return intake.prepare(image if seed is None else augment(image, self.augmentation, seed))

    def _choose_intake(self, row: Mapping[str, Any]) -> Intake:
        """The intake that asks what the row asks. What the configuration asks goes before it."""
        prompt = row.get("prompt")
        if not isinstance(prompt, str) or self._opening.prompt is not None:
            return self.intake
        if prompt not in self._asking:
            if len(self._asking) >= _MOST_PROMPTS:
                self._asking.pop(next(iter(self._asking)))
            try:
                self._asking[prompt] = self.family.open_intake(msgspec.structs.replace(self._opening, prompt=prompt))
            except FamilyError as error:
                seen = f"{_name_row(row)} asks {prompt[:80]!r}, which cannot be asked of this model"
                raise CollateError(f"{seen} ({error}); leave the question out of the rows") from error
        return self._asking[prompt]

    def _cut(self, row: Mapping[str, Any], prefix: int) -> list[int]:
        """The target's tokens and EOS, cut to what max_seq_length leaves. Prompt and image are never cut."""
        target = self._tokenize(row["text"])
        if self.max_length is not None:
            room = self.max_length - prefix - 1
            if room < min(1, len(target)):
                needed = prefix + 1 + min(1, len(target))
                seen = f"max_seq_length is {self.max_length}, but image and prompt alone have {prefix} tokens"
                advice = f"set data.max_seq_length to at least {needed}, and more for the text"
                raise CollateError(f"{_name_row(row)}: {seen}; {advice}")
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

    def _assemble(self, sequences: Sequence[Sequenced], side: str, *, with_target: bool = False) -> dict[str, Any]:
        """Pad everything that runs along a sequence on the same side, by position, never by token id."""
        if not sequences:
            raise CollateError(
                "seen no rows, expected at least one; a dataset that drops its columns gives empty batches"
            )
        prompts, targets = [one.prompt for one in sequences], [one.target for one in sequences]
        apart = self.family.encoder_decoder
        rows = [one.tokens + ([] if apart else target) for one, target in zip(prompts, targets, strict=True)]
        # input_ids come first because Trainer counts the rows of a batch on the first tensor it meets.
        batch: dict[str, Any] = {}
        if any(rows):
            batch["input_ids"] = self._pad(rows, self._filler, side)
            batch["attention_mask"] = self._pad([[1] * len(row) for row in rows], 0, side)
        if with_target and apart:
            # A decoder's sequence begins at its first target token, whatever side the tokenizer pads its prompts on.
            batch["labels"] = self._pad(targets, IGNORED, "right")
        elif with_target:
            batch["labels"] = self._pad(
                [[IGNORED] * len(one.tokens) + target for one, target in sequences], IGNORED, side
            )
        # Some processors leave such an argument out of a prompt, and the target needs its mark all the same.
        for name in dict.fromkeys([*(name for one in prompts for name in one.along), *self.family.target_marks]):
            mark = self.family.target_marks.get(name, 0)
            batch[name] = self._pad(
                [
                    [*one.along.get(name, [0] * len(one.tokens)), *[mark] * (0 if apart else len(target))]
                    for one, target in sequences
                ],
                0,
                side,
            )
        marks = [
            [*map(int, one.placement), *[0] * (len(row) - len(one.tokens))]
            for one, row in zip(prompts, rows, strict=True)
        ]
        return {**batch, **self.intake.assemble(prompts, self._pad(marks, 0, side).bool())}

    @property
    def _filler(self) -> int:
        pad = self.tokenizer.pad_token_id
        return int(self.tokenizer.eos_token_id if pad is None else pad)

    def _pad(self, rows: Sequence[Sequence[int]], filler: int, side: str) -> torch.Tensor:
        """int64 [B, longest]."""
        longest = max(map(len, rows))
        padded = torch.full((len(rows), longest), filler)
        for index, row in enumerate(rows):
            start = longest - len(row) if side == "left" else 0
            padded[index, start : start + len(row)] = torch.tensor(row, dtype=torch.long)
        return padded


def build_collator(
    config: Config,
    *,
    family: Family,
    tokenizer: PreTrainedTokenizerBase,
    image_dtype: torch.dtype,
    processor: Any = None,
    directory: Path | None = None,
    positions: RopePositions | None = None,
    cached: bool = False,
    kept_in: Path | None = None,
) -> Collator:
    """The collator for one configuration. `directory` is the model directory when `base_model` is a hub id, `processor`
    what was loaded for it where that is more than the tokenizer.

    `image_dtype` is the dtype of the vision weights, `positions` what `find_positions` found in the model. `cached` is for
    a run that trains: what looks at a project reads its files, not what data.cache_dir keeps of them, and may have a folder
    of its own, `kept_in`, for pages that it asks for again and again. Raises FamilyError for sizes the family cannot have,
    CollateError for a tokenizer that lacks what a batch needs.
    """
    directory = directory or config.model.directory
    if directory is None:
        raise CollateError(f"{config.model.base_model} is not a directory; pass the directory it was downloaded to")
    collator = Collator(
        family=family,
        tokenizer=tokenizer,
        opening=Opening(
            directory=directory,
            preprocessing=config.data.preprocessing,
            tokenizer=tokenizer,
            processor=tokenizer if processor is None else processor,
            prompt=config.data.prompt,
            image_dtype=image_dtype,
        ),
        max_length=config.data.max_seq_length,
        augmentation=config.data.augmentation,
        positions=positions,
        kept_in=config.data.cache_dir if cached else kept_in,
        kept_bytes=round(config.data.cache_gb * 1e9) if cached else _KEPT_WHILE_LOOKING,
    )
    if config.data.cache_dir is not None and not isinstance(collator.intake, OwnIntake):
        raise CollateError(
            f"`data.cache_dir` has no place in {family.shown}, whose own processor prepares its pages; remove it"
        )
    return collator


def _recall(cache: PixelCache, intake: OwnIntake, path: Path, page: bytes | None) -> dict[str, torch.Tensor]:
    """The page's bytes, kept or made. What is decoded is what was looked for, even if the file changes meanwhile."""
    content = read_content(path) if page is None else page
    views = cache.load(content)
    if views is None:
        views = intake.cut(open_image(path, content=content, keeps_grey=True))
        cache.save(content, views)
    return views


def _name_row(row: Mapping[str, Any]) -> str:
    """How a message calls a row: by its image, else by how its text begins."""
    path = row.get("image_path")
    return str(path) if isinstance(path, str | Path) else f"the row with the text {str(row.get('text'))[:40]!r}"


def _compile_protected(tokenizer: PreTrainedTokenizerBase, image_token: str | None, directory: Path) -> re.Pattern[str]:
    """The control tokens that typed text must not turn into. Layout tokens such as <td> are output like any other.

    The look-ahead also finds occurrences that overlap.
    """
    meant = _find_meant_tokens(tokenizer, directory)
    words = sorted({image_token, *tokenizer.all_special_tokens, *meant} - {None, ""}, key=len, reverse=True)
    return re.compile(f"(?=(?:{'|'.join(map(re.escape, words))}))")


def _find_meant_tokens(tokenizer: PreTrainedTokenizerBase, directory: Path) -> list[str]:
    """The added tokens to which the model's own files give a meaning: what ends generation, what opens a picture, a video's
    placeholder. Few tokenizers name all of them special."""
    added, ids = tokenizer.added_tokens_decoder, set[int]()
    for name in ("config.json", "generation_config.json"):
        path = directory / name
        if path.is_file():
            ids |= set(_list_token_ids(json.loads(path.read_text(encoding="utf-8"))))
    return [added[number].content for number in sorted(ids) if number in added]


def _list_token_ids(content: Any) -> Iterator[int]:
    """Every number under a key such as eos_token_id or image_token_index, at any depth."""
    for key, value in content.items() if isinstance(content, dict) else ():
        if key.endswith(("_token_id", "_token_ids", "_token_index")):
            yield from (number for number in (value if isinstance(value, list) else [value]) if isinstance(number, int))
        else:
            yield from _list_token_ids(value)
