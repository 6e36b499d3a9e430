"""What one family of models declares about itself: the small difference our single collator builder needs.

Nothing here imports torch. The functions a family declares import it when they are called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, TypeVar

import msgspec

from preflight_ocr.harness.config.errors import UserError

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from preflight_ocr.harness.config.schema import Preprocessing

Numbers = TypeVar("Numbers", bound=msgspec.Struct)
Positive = Annotated[float, msgspec.Meta(gt=0, lt=1e9)]

Role = Literal["pixels", "placement_mask", "tiling", "grid", "sizes"]
"""What a forward argument carries: the picture; a flag for each token that a feature is placed at; tiles across and down;
(t, h, w) in patches; anything else that describes the picture."""


class FamilyError(UserError):
    """The model's files or the configuration contradict what the family needs."""


Whole = Annotated[int, msgspec.Meta(ge=1, lt=2**31)]
Mean = tuple[float, float, float]
Deviation = tuple[Positive, Positive, Positive]


def read_numbers(path: Path, content: Mapping[str, Any], kind: type[Numbers]) -> Numbers:
    """What a JSON file of the model says, as the fields of `kind`. Raises FamilyError for a value of another form."""
    try:
        return msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        said = str(error).replace("`$.", "`")
        raise FamilyError(f"{path}: {said}; fetch the file again from the model's repository") from None


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """One row's prompt with its picture, ready to be padded.

    `tokens` are the prompt's ids with the placeholders already repeated, `placement` is true at these placeholders.
    `along` are further arguments with one number for each token, such as token types. `image` is what `Intake.assemble`
    makes the image arguments of, None for a row without an image.
    """

    tokens: list[int]
    placement: list[bool]
    along: Mapping[str, list[int]] = {}
    image: Any = None


class Packing(msgspec.Struct, frozen=True, kw_only=True):
    """How pictures lie in a [patches, 3 * temporal * patch * patch] tensor: blocks of merge x merge patches, row by row.

    `patch` in pixels; `temporal` copies of each patch stand one after the other inside a channel.
    """

    patch: int
    temporal: int
    merge: int


class Intake(Protocol):
    """How prompts and pictures enter one model, opened for one model directory and one configuration. Picklable."""

    image_token: str | None
    """The placeholder in the text; None where pictures take no place among the tokens."""
    image_token_id: int | None
    mean: tuple[float, ...] | None
    """What is subtracted per channel from pixels in 0..1; None where the family standardises each picture by itself."""
    std: tuple[float, ...] | None
    packing: Packing | None
    """How `pixels` are packed, None where they are images [..., 3, H, W]."""

    def prepare(self, image: Image.Image | None) -> Prepared:
        """One RGB image (None for a row without one) with the prompt. Raises FamilyError for what cannot be prepared."""

    def assemble(self, prepared: Sequence[Prepared], placement: torch.Tensor) -> dict[str, Any]:
        """forward's image arguments for these rows; `placement` is bool [B, S], true at every placeholder."""


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """What an intake is opened with. `prompt` is the file's own, None for the family's."""

    directory: Path
    preprocessing: Preprocessing
    tokenizer: Any
    processor: Any
    prompt: str | None
    image_dtype: Any


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """A family is recognised by what its forward takes and what its configuration calls itself, never by a repository."""

    name: str
    shown: str
    """The name people know it by."""
    recognises: Callable[[frozenset[str], Mapping[str, Any]], bool]
    """(names of forward's parameters, config.json) -> whether this is such a model."""
    roles: Mapping[str, Role]
    """forward argument -> what it carries."""
    auto_class: str
    task_type: str
    """PEFT's task type for this family."""
    open_intake: Callable[[Opening], Intake]
    """Raises FamilyError for files or sizes that do not fit."""
    encoder_decoder: bool = False
    """The target is the decoder's whole sequence: labels hold it alone, and what stands in input_ids is encoded."""
    read_sizes: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None
    """batch -> the keys of data.preprocessing that its shapes show; empty where they fit no choice of sizes. None for a
    family whose sizes do not depend on those keys."""
    target_marks: Mapping[str, int] = {}
    """The number that target tokens have in an argument that runs along the tokens; 0 where none is given."""

    def argument(self, role: Role) -> str | None:
        """The name of the forward argument that has this role."""
        return next((name for name, given in self.roles.items() if given == role), None)
