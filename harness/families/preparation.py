"""Pictures that we prepare ourselves, for families whose processor does not exist or does not work in every release."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from preflight_ocr.harness.families.family import FamilyError, Packing, Prepared

if TYPE_CHECKING:
    import torch
    from PIL import Image


class Prompt(NamedTuple):
    """The text before and after the placeholders of a row's image, and the whole prompt of a row that has none."""

    before: str
    after: str
    bare: str


class OwnIntake:
    """Prompt and picture put together from a family's own three functions.

    `cut(image)` makes the picture's bytes, named uint8 tensors that depend on the image and on `recipe` alone, so that
    they can be kept; `draw(bytes)` gives the number of placeholders and whatever `join` makes the image arguments of,
    and is given None for a row without an image.
    """

    def __init__(
        self,
        *,
        tokenizer: Any,
        image_token: str,
        prompt: Prompt,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        cut: Callable[[Image.Image], dict[str, torch.Tensor]],
        draw: Callable[[Mapping[str, torch.Tensor] | None], tuple[int, Any]],
        join: Callable[[Sequence[Prepared], torch.Tensor], dict[str, Any]],
        recipe: msgspec.Struct,
        packing: Packing | None = None,
    ) -> None:
        self.tokenizer, self.prompt = tokenizer, prompt
        self.image_token: str | None = image_token
        self.image_token_id: int | None = find_token(tokenizer, image_token)
        self.mean: tuple[float, ...] | None = mean
        self.std: tuple[float, ...] | None = std
        self.packing = packing
        self.recipe = recipe
        self.cut = cut
        self._draw, self._join = draw, join

    def prepare(self, image: Image.Image | None) -> Prepared:
        """The prompt's tokens around as many placeholders as the picture (mode L or RGB) has features."""
        return self.place(None if image is None else self.cut(image))

    def place(self, views: Mapping[str, torch.Tensor] | None) -> Prepared:
        """The same for a picture whose bytes were cut before."""
        count, drawn = self._draw(views)
        before, after = (self.prompt.before, self.prompt.after) if count else ("", self.prompt.bare)
        bos = [] if self.tokenizer.bos_token_id is None else [self.tokenizer.bos_token_id]
        head, tail = [*bos, *self._encode(before)], self._encode(after)
        return Prepared(
            tokens=[*head, *[self.image_token_id] * count, *tail],  # type: ignore[list-item]
            placement=[False] * len(head) + [True] * count + [False] * len(tail),
            image=drawn,
        )

    def assemble(self, prepared: Sequence[Prepared], placement: torch.Tensor) -> dict[str, Any]:
        """The family's own image arguments."""
        return self._join(prepared, placement)

    def _encode(self, text: str) -> list[int]:
        found: list[int] = self.tokenizer.encode(text, add_special_tokens=False) if text else []
        return found


def find_token(tokenizer: Any, token: str) -> int:
    """The id of a token that must exist. Raises FamilyError."""
    found = tokenizer.convert_tokens_to_ids(token)
    if not isinstance(found, int) or found == tokenizer.unk_token_id:
        raise FamilyError(f"the tokenizer has no token {token}; fetch the tokenizer files of the same revision again")
    return found


def split_prompt(prompt: str, image_token: str) -> Prompt:
    """A prompt of plain text around its image token; one that names no image gets it in front."""
    before, found, after = prompt.partition(image_token)
    if not found:
        return Prompt("", f"\n{prompt}", prompt)
    if image_token in after:
        count = prompt.count(image_token)
        raise FamilyError(f"data.prompt names {image_token} {count} times, expected once: a row has one image")
    return Prompt(before, after, (before + after).lstrip("\n"))
