"""What the processor and the collator did with rows, in a child."""

from __future__ import annotations

from typing import ClassVar, Literal

from preflight_ocr.harness.facts.base import NOT_LOOKED_AT, Fact, Raised, Site, Unknown
from preflight_ocr.harness.facts.reading import Dataset


class Opened(Fact, kw_only=True):
    """What one call of AutoProcessor.from_pretrained gave. `site` is the line of the user's that called, if one did."""

    returned: Literal["processor", "tokenizer", "raised"]
    class_name: str
    raised: Raised | None
    site: Site | None


class Processor(Fact, kw_only=True):
    """What AutoProcessor really returns here, and how the user's collator called it.

    `returned`, `class_name` and `raised` are those of the first call in a fresh process; `registered` is what the same call
    gives once the configuration's module was imported.
    """

    returned: Literal["processor", "tokenizer", "raised"]
    class_name: str
    raised: Raised | None
    registered: Opened | Unknown = Unknown(reason="not asked a second time")
    unfilled: tuple[str, ...]  # slots of the processor's class that its own constructor has no argument for
    image_calls: tuple[Site, ...]  # calls with images= on an object that has no image path


class Leaf(Fact, kw_only=True):
    """One leaf of a batch. `path` reads like Python: `images[0][1]`. Statistics only for tensors with elements."""

    argument: str
    path: str
    kind: str  # "tensor", "None", "int", "PIL image", ...
    shape: tuple[int, ...]
    dtype: str
    device: str
    minimum: float | None
    maximum: float | None
    mean: float | None


class Delta(Fact, kw_only=True):
    """Where the user's batch is built otherwise than a batch this model is known to accept."""

    argument: str
    path: str
    kind: Literal["missing", "none", "unexpected", "container", "rank", "shape", "length", "dtype", "device", "value"]
    seen: str
    expected: str


class Row(Fact, kw_only=True):
    """One row of a batch as strings with one character per token, so that a shift can be seen by eye.

    `roles`: `b` BOS, `i` image placeholder, `p` prompt, `t` target, `e` EOS, `.` padding, `?` behind the EOS.
    `trained`, `attended`, `marked`: `1` where the label is not -100, the attention mask is on, the placement mask is on.
    `marked` is empty where the model has no placement mask; it has its own length, which may be wrong.
    """

    of_tokens: ClassVar[frozenset[str]] = frozenset({"roles", "trained", "attended", "marked"})

    roles: str
    trained: str
    attended: str
    marked: str
    supervised_text: str  # the decoded trained tokens
    target_text: str  # what the row asked to be learned
    prompt_text: str  # the decoded prompt without image placeholders
    truncated: bool

    def count(self, role: str, flags: str | None = None) -> int:
        """How many tokens have `role`, and, with `flags`, are switched on there."""
        if flags is None:
            return self.roles.count(role)
        return sum(r == role and f == "1" for r, f in zip(self.roles, flags, strict=False))


class PixelView(Fact, kw_only=True):
    """One image tensor of a row, compared with the same page prepared as the model's own files ask for.

    `mean`, `std` per channel are recovered by regression against the reference, so they are what was really applied.
    """

    row: int
    path: str
    geometry: Literal["as expected", "squashed", "cropped", "mirrored", "turned", "unrecognised"]
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    source_row: int | None  # the row whose page this really is
    detail: str


class Grid(Fact, kw_only=True):
    """The argument that says how patches lie in pictures, one (t, h, w) for each picture, beside the patches themselves.

    `seen` and `expected` are the user's rows and those our own collator makes of the same pages. `patches` is the number
    of patches in the user's batch. `same_patches` says that the patches are those of our own batch in the same order,
    whatever was subtracted from them. Heights and widths must be multiples of `merge`.
    """

    argument: str
    seen: tuple[tuple[int, ...], ...]
    expected: tuple[tuple[int, ...], ...]
    patches: int
    merge: int
    same_patches: bool


class Unwritable(Fact, kw_only=True):
    """Characters of the training texts that the tokenizer has no token for, and in how many of the rows looked at."""

    characters: tuple[str, ...]
    rows: int
    looked_at: int
    unknown_token: str


class BoxedRow(Fact, kw_only=True):
    """A row whose target holds boxes, as (x1, y1, x2, y2); the size of its page, and of the page that the model is shown,
    as (width, height) in pixels."""

    row: int
    name: str
    original: tuple[int, int]
    shown: tuple[int, int]
    boxes: tuple[tuple[float, float, float, float], ...]


class Batch(Fact, kw_only=True):
    """A batch that a collator returned for `rows_in` rows."""

    rows_in: int
    rows_out: int
    keys: tuple[str, ...]
    leaves: tuple[Leaf, ...]
    rows: tuple[Row, ...] | Unknown


OURS = "preflight"  # the owner of our own collator


class Brought(Fact, kw_only=True):
    """What `subject.trainer` trains with in place of what it is handed."""

    parts: tuple[str, ...]  # of "collator" and "rows"
    dataset: Dataset | Unknown | None  # its rows; None where it takes those of the YAML
    unbuilt: str  # what building the trainer raised, so that nobody knows what it brings; else ""


class Collator(Fact, kw_only=True):
    """The collator in use (the user's, or ours), run on real rows."""

    owner: str  # "module:function" or OURS
    batch: Batch | Raised
    reference: Batch | Unknown  # our own collator on the same rows; Unknown for a model nobody has declared
    placeholder: str | None  # the image token's text; None where pictures take no place among the tokens
    roles: dict[str, str]  # forward argument -> pixels | placement_mask | tiling | grid
    deltas: tuple[Delta, ...] | Unknown = NOT_LOOKED_AT
    views: tuple[PixelView, ...] | Unknown = NOT_LOOKED_AT
    grid: Grid | Unknown | None = NOT_LOOKED_AT  # None where the model takes none
    planned_tiles: tuple[int, ...] | Unknown = NOT_LOOKED_AT  # per row, local views the page's size calls for
    seen_tiles: tuple[int, ...] | Unknown = NOT_LOOKED_AT
    deterministic: bool | Unknown = NOT_LOOKED_AT
    pickles: bool | Unknown = NOT_LOOKED_AT
    pickle_error: str
    expected_prompt: str | Unknown = NOT_LOOKED_AT  # the prompt that prediction uses
    starts_with_bos: bool | Unknown = NOT_LOOKED_AT  # what the reference does
    mixed_rows: Raised | Literal["ok"] | Unknown = NOT_LOOKED_AT  # a batch in which one row has no image
    mixed_swaps: tuple[int, ...]  # rows of that batch that got another row's page
    swallowed_rows: int | Unknown = NOT_LOOKED_AT  # rows lost without an exception for want of their page
    safe_length: int | Unknown = NOT_LOOKED_AT  # the smallest max_seq_length that cuts no image token, over all rows
    unwritable: Unwritable | Unknown | None = NOT_LOOKED_AT  # None where the tokenizer writes every text
    boxes: tuple[BoxedRow, ...] | Unknown = NOT_LOOKED_AT  # the rows of the sample whose targets hold boxes
