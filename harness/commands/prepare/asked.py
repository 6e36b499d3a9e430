"""What a run of `prepare-data` is asked to do."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from preflight_ocr.harness.config.errors import UserError


class PrepareError(UserError):
    """Rows cannot be prepared; the message says what to change."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What decides whether a row is kept and what is written of it. A journal of other settings is not gone on with.

    roots: folders that pictures may lie in. lines: cut layout files into lines. min_side in pixels, dpi of PDF pages.
    """

    source: Path
    roots: tuple[Path, ...]
    staging: Path
    tokenizer: Path | None = None
    group_by: str | None = None
    keep: tuple[str, ...] = ()
    lines: bool = False
    min_side: int = 8
    max_pixels: int = 50_000_000
    dpi: int = 200

    def digest(self) -> str:
        """The same for the same settings and another place of the output."""
        settings = msgspec.to_builtins(msgspec.structs.replace(self, staging=Path()), enc_hook=str)
        return hashlib.blake2b(msgspec.json.encode(settings), digest_size=16).hexdigest()


class Division(msgspec.Struct, frozen=True, kw_only=True):
    """How rows are divided: the shares of train, val and test, and `near`, in how many of 256 bits the perceptual hashes of
    near duplicates differ at most; 0 looks for none."""

    shares: tuple[float, float, float] = (80, 10, 10)
    seed: int = 0
    near: int = 32


_TAKEN = (
    "file_name", "image", "images", "image_path", "image_paths", "img_path", "text", "origin", "messages", "conversations",
    "conversation", "dialog", "chosen", "question", "query", "instruction", "prefix", "prompt", "problem", "input",
)  # fmt: skip
SPLITS = ("train", "val", "test")


def parse_shares(text: str) -> tuple[float, float, float]:
    """`80,10,10` as shares. Raises PrepareError."""
    try:
        train, val, test = (float(part) for part in text.split(","))
    except ValueError:
        raise PrepareError(f"--split: seen {text!r}, expected three numbers such as 80,10,10") from None
    if not (train > 0 and val >= 0 and test >= 0 and train + val + test < 1e9):
        raise PrepareError(f"--split: seen {text!r}, expected a share above 0 for train and none below 0")
    return train, val, test


def require_columns(group_by: str | None, keep: tuple[str, ...]) -> None:
    """Raise PrepareError for a column that would be read as something else in what is written."""
    for option, name in (("--group-by", group_by), *(("--keep", name) for name in keep)):
        if name in _TAKEN or (name == "source" and option == "--keep"):
            raise PrepareError(
                f"{option} {name}: a column of this name is written anyway, or read as picture or question"
            )
