"""What forward did, and where a simulated accelerator would have had each tensor."""

from __future__ import annotations

from typing import ClassVar, Literal

from preflight_ocr.harness.facts.base import NOT_LOOKED_AT, Fact, Raised, Signature, Site, Unknown
from preflight_ocr.harness.facts.preparing import Opened


class Landing(Fact, kw_only=True):
    """Where image features really landed in one row: inputs of the first decoder layer against the input embeddings.

    `landed` has one character per token: `1` where the vector is not the token's own embedding any more.
    `features` is how many feature vectors the model offered for the row; Unknown where no scatter was seen.
    """

    of_tokens: ClassVar[frozenset[str]] = frozenset({"landed"})

    row: int
    placeholders: int
    features: int | Unknown
    landed: str


class Repair(Fact, kw_only=True):
    """An argument of the user's batch that had to be replaced by the reference's before forward could go on."""

    argument: str
    raised: Raised


class Behaviour(Fact, kw_only=True):
    """What changes in the logits when one thing in the batch changes. One entry per row; `None` = row has none."""

    text_reaches: tuple[bool, ...]
    image_reaches: tuple[bool | None, ...]
    image_leaks: tuple[tuple[int, int], ...] | Unknown  # (row whose image changed, other row whose logits changed)
    padding_changes: bool | Unknown = NOT_LOOKED_AT


class Wrapper(Fact, kw_only=True):
    """A module of the user's around the model. `dropped`: keywords of the inner forward that never arrive.

    `inner_name` is the attribute that holds the model, as a path of names.
    """

    class_name: str
    inner_class: str
    inner_name: str
    dropped: tuple[str, ...]
    same_outputs: bool | Unknown = NOT_LOOKED_AT
    shared_names: tuple[tuple[str, str], ...]  # two names in the tree for one and the same module


class Agreement(Fact, kw_only=True):
    """The logits that training supervises against those that generation computes for the same rows.

    One entry for each row of the sample that was compared, each the largest difference in units of the logits' standard
    deviation: `first` at the first target, `along` at those behind it with generation forced to the same target without a
    cache, `cached` the same of the model's own `generate`, cached, against itself uncached. `tolerance` is the least
    difference that is one. `expected` are the entries of the batch that was compared with: our own collator's, or
    what the collator's own processor returned. `mended_by` are those each of which alone, replaced by the one that is
    expected (or taken out where none is), makes all rows agree. `packed` says that several rows stood in one
    sequence. `started_again` are the rows of an encoder-decoder whose labels begin with the token that its decoder starts
    with anyway.
    """

    first: tuple[float, ...]
    along: tuple[float, ...]
    cached: tuple[float, ...] | Unknown
    tolerance: float
    expected: tuple[str, ...]
    mended_by: tuple[str, ...] | Unknown
    packed: bool
    started_again: tuple[int, ...]
    starts: tuple[int, ...]  # an encoder-decoder's start token in training and in generation; empty for other models
    target_tokens: int  # behind the first ones, that were compared

    @property
    def departing(self) -> tuple[int, ...]:
        """The rows that training and generation compute differently."""
        both = zip(self.first, self.along, strict=True)
        return tuple(row for row, differences in enumerate(both) if max(differences) > self.tolerance)


class Ends(Fact, kw_only=True):
    """Where generation stops, and which rows of the collator's batch are not trained to stop there.

    `stops` are the ids that end what the model writes, each with its text; `endless` the rows whose supervised labels hold
    none of them, of `rows` that were looked at; `last` is the last supervised id of each such row, with its text.
    """

    stops: tuple[tuple[int, str], ...]
    rows: int
    endless: tuple[int, ...]
    last: tuple[tuple[int, str], ...]


class LostBuffer(Fact, kw_only=True):
    """A buffer that no checkpoint holds and that is not what the class computes when it is built. Values as text."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    seen: str
    expected: str


class Origin(Fact, kw_only=True):
    """Where a tensor comes from.

    `name` is that of the entry of the batch (`images[0][1]`), of the attribute, the global or the parameter. `site` is the
    line that made it, or, where it was moved, the line that moved it.
    """

    kind: Literal["entry", "attribute", "global", "parameter", "buffer", "made", "moved"]
    name: str
    site: Site | None
    call: str  # what made it: "zeros", "Tensor.cpu"


class Operand(Fact, kw_only=True):
    """A tensor that an operation was called with. `argument` is the operation's own name for it."""

    argument: str
    shape: tuple[int, ...]
    dtype: str
    device: str  # "cpu" | "cuda:0"
    origin: Origin | None  # None: computed, or not known


class Clash(Fact, kw_only=True):
    """An operation whose tensors would have been on different devices.

    `stray` is the one that is not where the others are. `site` is the innermost line of the user's or the model's code,
    `inside` the innermost line of any library, where that is another one.
    """

    operation: str
    stray: Operand
    beside: Operand
    site: Site | None
    inside: Site | None
    times: int


class Unmoved(Fact, kw_only=True):
    """A tensor in the batch that Trainer leaves on the CPU, or an entry at which moving the batch raises."""

    path: str
    holder: str  # the type of what holds it: "planted.Page"
    shape: tuple[int, ...]
    dtype: str
    raised: Raised | None


class ReturnedTensor(Fact, kw_only=True):
    """A tensor that the collator itself returns on an accelerator. `site` is the line that brought it there."""

    path: str
    shape: tuple[int, ...]
    dtype: str
    site: Site | None


class NamedCard(Fact, kw_only=True):
    """A line that names a card itself. `owner` is whose code it is, `during` what ran."""

    site: Site
    owner: Literal["user", "model", "library"]
    during: Literal["collator", "forward"]


class HostCopy(Fact, kw_only=True):
    """A tensor on an accelerator that was asked for as a numpy array, which raises TypeError there."""

    call: str
    shape: tuple[int, ...]
    dtype: str
    site: Site | None
    origin: Origin | None


class Synchronisation(Fact, kw_only=True):
    """A place at which the CPU waits for the accelerator."""

    call: str
    site: Site | None
    times: int


class Undecided(Fact, kw_only=True):
    """An operation on different devices of which it is not known whether torch would take them, and why."""

    operation: str
    site: Site | None
    reason: str


class Placement(Fact, kw_only=True):
    """Model and batch as on an accelerator, simulated: real numbers on the CPU, and a ledger of where each would be.

    `whole` says whether the user's own model was called, wrapper and all, or the bare one. `ended` is how forward ended in
    the simulation, `in_training` how it did in training mode, `generated` how two tokens were written.
    """

    ended: Raised | Literal["ok"]
    in_training: Raised | Unknown | Literal["ok"]
    generated: Raised | Unknown | Literal["ok"]
    whole: bool
    clashes: tuple[Clash, ...]
    unmoved: tuple[Unmoved, ...]
    returned: tuple[ReturnedTensor, ...]
    named: tuple[NamedCard, ...]
    host_copies: tuple[HostCopy, ...]
    synchronisations: tuple[Synchronisation, ...]  # of one forward with labels
    undecided: tuple[Undecided, ...]


class RowLength(Fact, kw_only=True):
    """A row of the sample: what to call it, how many tokens it has, and the highest position that one of them is given."""

    row: int
    name: str
    tokens: int
    highest: int


class Positions(Fact, kw_only=True):
    """How far positions reach in the batch, and how many of them the language model was made for, from 0 on."""

    limit: int
    rows: tuple[RowLength, ...]


class Forward(Fact, kw_only=True):
    """The model itself, called with the user's batch and with the reference batch."""

    signature: Signature | Unknown
    model_class: str
    weights: Literal["real", "random"]
    loading: Raised | None
    given: Raised | Literal["ok"] | Unknown = NOT_LOOKED_AT  # the user's batch, unchanged
    reference: Raised | Literal["ok"] | Unknown = NOT_LOOKED_AT
    repairs: tuple[Repair, ...]
    landing: tuple[Landing, ...] | Unknown = NOT_LOOKED_AT
    behaviour: Behaviour | Unknown = Unknown(reason="not run")
    wrapper: Wrapper | Unknown | None = NOT_LOOKED_AT  # None where there is none
    returned: tuple[str, ...] | Unknown = NOT_LOOKED_AT  # the names of what forward returned
    positions: Positions | Unknown = NOT_LOOKED_AT
    loss: float | Unknown = NOT_LOOKED_AT
    uniform_loss: float | Unknown = NOT_LOOKED_AT  # ln(vocabulary)
    loss_by_token: float | Unknown = NOT_LOOKED_AT  # the same loss, each kind of target token counted once
    loss_reads: Literal["next", "same", "neither"] | Unknown = Unknown(
        reason="not run"
    )  # which label a position is held to
    dtypes: dict[str, dict[str, int]]  # part -> dtype -> number of weights
    embedding_rows: int | Unknown = NOT_LOOKED_AT
    highest_token_id: int | Unknown = NOT_LOOKED_AT
    redirected: tuple[Site, ...]  # hard-coded .cuda() and the like, sent to the CPU so that the run could go on
    has_generate: bool | Unknown = NOT_LOOKED_AT
    generation: Raised | Literal["ok"] | Unknown = Unknown(reason="not run")  # two tokens by the model's own generate
    padding_side: str | None  # of the tokenizer that prediction will use
    idle_keys: tuple[str, ...] | Unknown = NOT_LOOKED_AT  # only **kwargs takes them, and nothing changes without
    lost_buffers: tuple[LostBuffer, ...] | Unknown = NOT_LOOKED_AT
    agreement: Agreement | Unknown = Unknown(reason="not run")
    ends: Ends | Unknown = NOT_LOOKED_AT
    placement: Placement | Unknown = Unknown(reason="not run")
    processor_calls: tuple[Opened, ...]  # AutoProcessor as the user's loader and collator called it, in their order
