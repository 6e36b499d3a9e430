"""What the adapter hit, whether anything learns, and what a step holds."""

from __future__ import annotations

from typing import Literal

from preflight_ocr.harness.facts.base import NOT_LOOKED_AT, Fact, Raised, Site, Unknown
from preflight_ocr.harness.facts.running import Wrapper


class Target(Fact, kw_only=True):
    """One entry of target_modules and how many modules it hits, by part of the model."""

    name: str
    hits: dict[str, int]


class Carrier(Fact, kw_only=True):
    """Modules of one kind that an adapter can be put on, and how many have one.

    `name` has `*` where a number stands in the modules' names: `model.layers.*.self_attn.q_proj`.
    """

    part: str
    name: str
    modules: int
    adapted: int


class Quantised(Fact, kw_only=True):
    """Layers that compute with packed weights (4 or 8 bits): `parts` is part of the model -> how many, `kept` how many
    linear layers of it are not packed.

    `formats` are nf4, fp4 or int8; `compute_dtypes` what 4-bit layers compute in. `head` is the output head where it is such
    a layer, "" else; `unpacked` are such layers whose weight is an ordinary one, which they cannot compute with.
    `unheeded` is entry of the model's own skip list -> the whole name of the module that it means, where such layers are
    under it all the same. `tower` is the innermost module that holds all such layers of the vision tower, "" without any;
    `output` the output head, "" where the model has none.
    `other_dtypes` counts the numbers of the weights that are not packed by dtype; `norm_dtypes` those of the norms alone.
    """

    parts: dict[str, int]
    kept: dict[str, int]
    formats: tuple[str, ...]
    compute_dtypes: tuple[str, ...]
    head: str
    unpacked: tuple[str, ...]
    unheeded: dict[str, str]
    tower: str
    output: str
    other_dtypes: dict[str, int]
    norm_dtypes: dict[str, int]


class Adapter(Fact, kw_only=True):
    """LoRA as it will be trained. Parts: vision, projector, embedding, attention, mlp, experts, head, other."""

    raised: Raised | None
    task_type: str | None
    injected: tuple[str, ...]  # keywords that PEFT's task wrapper adds to every call
    rejected: tuple[str, ...]  # those forward does not take
    fitting_task_types: tuple[str, ...]
    targets: tuple[Target, ...] | Unknown = NOT_LOOKED_AT
    trainable: int
    trainable_dtypes: tuple[str, ...]
    total: int
    key_example: str
    inside_wrapper: bool  # PEFT was put around a wrapper, so the adapter's keys carry the wrapper's name
    on_tied_weights: tuple[str, ...]
    loss_keyword: str | None  # what Trainer will add to every call, a wrapper hands on and forward does not take
    carriers: tuple[Carrier, ...] | Unknown = Unknown(reason="the modules were not counted")
    wrapper: Wrapper | Unknown | None = NOT_LOOKED_AT  # one that the adapter step made around the model, inside of PEFT
    unsaved: tuple[str, ...] | Unknown = NOT_LOOKED_AT  # parameters that are trained and that PEFT does not save
    task_type_site: Site | Unknown | None = NOT_LOOKED_AT  # where the user's own step names it
    quantised: Quantised | Unknown | None = NOT_LOOKED_AT  # None where no weight is packed
    merges: tuple[Site, ...] | Unknown = NOT_LOOKED_AT  # where the user's own parts merge an adapter into its weights


class Census(Fact, kw_only=True):
    """Adapters of one part after backward and two optimizer steps.

    `idle` is kind (as in `Carrier.name`) -> adapters of that kind without a gradient, the unreached left out.
    """

    part: str
    checkpointing: bool
    adapters: int
    with_gradient: int
    moved: int
    unreached: int  # in experts that no token was routed to, and in what a vision part that ran does not call
    idle: dict[str, int]


class AlikeRows(Fact, kw_only=True):
    """Rows of the output head that the targets' tokens use and that are all but equal to another such row.

    `ids` are the tokens, `used` how many different tokens the targets have, `trained` whether anything changes the head.
    """

    ids: tuple[int, ...]
    tokens: tuple[str, ...]
    used: int
    trained: bool


NEUTRAL_SETTINGS: dict[str, float | None] = {
    "repetition_penalty": 1.0,
    "encoder_repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0,
    "min_length": 0,
    "min_new_tokens": None,
    "bad_words_ids": None,
    "suppress_tokens": None,
    "begin_suppress_tokens": None,
    "sequence_bias": None,
    "exponential_decay_length_penalty": None,
    "forced_eos_token_id": None,
    "renormalize_logits": False,
    "guidance_scale": None,
}
"""Settings of a generation configuration that change the scores of tokens -> the value with which they change nothing."""


class Recital(Fact, kw_only=True):
    """One row of the sample learnt by heart, and what the model then writes by itself, as token ids and as text.

    `wanted` are its supervised tokens up to the one that generation stops at, of which all were the likeliest ones under
    teacher forcing after `steps` optimizer steps; `read` is what `generate` writes, greedily and with settings that change
    no score. `hindering` are the model's own settings that keep it from writing that, as `name: value`.
    """

    row: int
    steps: int
    wanted: tuple[int, ...]
    text: str
    read: tuple[int, ...]
    read_text: str
    hindering: tuple[str, ...] | Unknown


class RoundTrip(Fact, kw_only=True):
    """The adapter saved, then loaded onto the bare model in a fresh process.

    `difference` is the largest of a logit between the two. `control` is the largest between several evaluations of one and
    the same model, in each of the two processes, measured where weights are packed and kernels may differ.
    """

    same_logits: bool | Unknown
    differs_from_base: bool | Unknown
    missing_keys: tuple[str, ...]
    unexpected_keys: tuple[str, ...]
    lost_keys: tuple[str, ...]  # in the file, and not with these numbers in the model they were loaded into
    difference: float | Unknown = NOT_LOOKED_AT
    control: float | Unknown = NOT_LOOKED_AT
    reread: tuple[int, ...] | Unknown = NOT_LOOKED_AT  # what the model writes for the row that was learnt by heart


class Recipe(Fact, kw_only=True):
    """How far the run's own schedule can take the adapter, from before its first step, with an optimizer like Adam.

    `reach` are the learning rates of all steps added up and `peak` the highest; `change` is the largest change of a logit,
    in units of the logits' standard deviation, when every trained weight goes that far down its gradient. `share` is what
    an adapter adds to its weight in one step at the peak, of that weight's norm: the median of all.
    """

    steps: int
    peak: float
    reach: float
    change: float
    share: float | Unknown


class Growth(Fact, kw_only=True):
    """What the process held after each of several rounds with the same rows, a collating and a training step each.

    `tensors` and their `bytes`, `entries` of the collator's own containers, open `files`, `threads`; `holders` are the
    attributes that hold tensors which were not there after the first of these rounds.
    """

    tensors: tuple[int, ...]
    bytes: tuple[int, ...]
    entries: tuple[int, ...]
    files: tuple[int, ...]
    threads: tuple[int, ...]
    holders: tuple[str, ...]


class Uneven(Fact, kw_only=True):
    """What a row without a picture leaves out of a training step, where the run's rows are of both kinds.

    `waits` is the setting that makes processes wait for each other. `left_out` is part of the model -> trained weights that
    get no gradient from such a row, and get one from rows with a picture; `example` one of them. `trained` are all trained
    weights, `reached` those that rows with a picture give a gradient.
    """

    waits: str
    left_out: dict[str, int]
    example: str
    reached: int
    trained: int


class Learning(Fact, kw_only=True):
    """Two optimizer steps, a batch repeated, and what became of the adapter."""

    census: tuple[Census, ...] | Unknown = NOT_LOOKED_AT
    severed: tuple[str, ...] | Unknown = NOT_LOOKED_AT  # decoder blocks whose result carries no gradient
    training: Raised | Literal["ok"]
    mixed_precision: Raised | Literal["ok"] | Unknown = NOT_LOOKED_AT  # one step as fp16/bf16/torch_dtype ask for
    checkpointing: Raised | Literal["ok"] | Unknown = NOT_LOOKED_AT
    losses: tuple[float, ...] | Unknown = NOT_LOOKED_AT
    round_trip: RoundTrip | Unknown = Unknown(reason="not run")
    unsaved: tuple[str, ...] | Unknown = NOT_LOOKED_AT  # parameters that moved and whose numbers are in no saved tensor
    alike_rows: AlikeRows | Unknown = NOT_LOOKED_AT
    recital: Recital | Unknown = NOT_LOOKED_AT
    uneven: Uneven | Unknown | None = NOT_LOOKED_AT  # None where no process would wait, or rows are of one kind
    recipe: Recipe | Unknown = NOT_LOOKED_AT
    merged_equals_unmerged: bool | Unknown = NOT_LOOKED_AT
    merge_loss: float | Unknown = (
        NOT_LOOKED_AT  # of what the adapter does to the logits, the share that merging changes
    )
    accumulation_ratio: float | Unknown = NOT_LOOKED_AT  # logged loss with accumulation over the same loss without
    growth: Growth | Unknown = NOT_LOOKED_AT
