"""What one family of models declares about itself: the small difference our single collator builder needs.

Nothing here imports torch. The functions a family declares import it when they are called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from harness.errors import UserError

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from harness.config import Preprocessing

Role = Literal["pixels", "placement_mask", "tiling", "grid"]


class FamilyError(UserError):
    """The model's files or the configuration contradict what the family needs."""


class Geometry(msgspec.Struct, frozen=True, kw_only=True):
    """How a page becomes pixels and placeholders. Sizes are in pixels."""

    base_size: int
    tile_size: int
    tiling: bool
    tiles: tuple[int, int]
    """Fewest and most tiles of a tiled image."""
    patch_size: int
    downsample: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    image_token: str

    @property
    def stride(self) -> int:
        """Pixels along one side of the square that one image token stands for."""
        return self.patch_size * self.downsample


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """One image, ready for the model: `tokens` placeholders, tiles (across, down), and its pixel tensors.

    Both are float [n, 3, size, size] in the dtype asked for: `tiles` (n = across * down, or None without tiling) and
    `page`, the global view (n = 1).
    """

    tokens: int
    tiling: tuple[int, int]
    tiles: Any
    page: Any


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """A family is recognised by what its forward takes, never by a repository's name."""

    name: str
    recognises: Callable[[frozenset[str], Mapping[str, Any]], bool]
    """(names of forward's parameters, config.json) -> whether this is such a model."""
    prompt: str
    """The prompt of training and inference alike, with the image token where the image belongs."""
    roles: Mapping[str, Role]
    """forward argument -> what it carries."""
    auto_class: str
    task_type: str
    """PEFT's task type for this family."""
    read_geometry: Callable[[Path, Preprocessing], Geometry]
    """(model directory, the file's preprocessing) -> geometry; raises FamilyError for sizes that do not fit."""
    prepare: Callable[[Image.Image | None, Geometry, torch.dtype], Prepared]
    """(RGB image, or None for a row without one, geometry, dtype) -> its tensors and its number of placeholders."""
    assemble: Callable[[Sequence[Prepared], torch.Tensor], dict[str, Any]]
    """(one Prepared per row, bool [B, S] true at every placeholder) -> forward's image arguments."""

    def argument(self, role: Role) -> str | None:
        """The name of the forward argument that has this role."""
        return next((name for name, given in self.roles.items() if given == role), None)
