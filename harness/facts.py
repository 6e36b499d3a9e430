"""The facts that probes return: plain, frozen, comparable data.

A probe looks and writes down what it saw; a diagnosis reads these facts and judges. Every section, and every field whose
answer can be out of reach, may be `Unknown(reason)` instead. Nothing here is guessed: a default means "looked, and there
was none", never "did not look". Facts make the JSON round trip (`to_json`, `from_json`) and carry a digest.
"""

from __future__ import annotations

import hashlib
from typing import Literal, dataclass_transform

import msgspec


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Fact(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="fact", forbid_unknown_fields=True):
    """A tagged struct, so that a section and `Unknown` can share a union and survive JSON."""


class Unknown(Fact):
    """What could not be found out, and why. The reason is shown to the user word for word.

    `failed` says that a probe of ours broke over it, which is our fault and must not look like a mere skip.
    """

    reason: str
    failed: bool = False


class Site(Fact):
    """A place in somebody's source: `file` relative to its root, 1-based `line`, the stripped `code`, and what it is.

    `runs` says whether importing, loading or calling the model gets there; None where nobody asked.
    """

    file: str
    line: int
    code: str
    kind: str = ""
    runs: bool | None = None


class Raised(Fact):
    """An exception that foreign code raised. `site` is the last frame that belongs to foreign code."""

    type: str
    message: str
    site: Site | None = None


class Parameter(Fact):
    """One parameter of a callable; `kind` as in `inspect.Parameter`, in lower case."""

    name: str
    kind: Literal["positional_only", "positional_or_keyword", "var_positional", "keyword_only", "var_keyword"]
    has_default: bool = True


class Signature(Fact):
    """A callable's parameters, `self` left out."""

    owner: str
    parameters: tuple[Parameter, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The named parameters, without `*args` and `**kwargs`."""
        return tuple(p.name for p in self.parameters if not p.kind.startswith("var_"))

    @property
    def accepts_any_keyword(self) -> bool:
        """Whether a `**kwargs` swallows whatever it is given."""
        return any(p.kind == "var_keyword" for p in self.parameters)

    def accepts(self, keyword: str) -> bool:
        """Whether calling with `keyword=` raises no TypeError."""
        return self.accepts_any_keyword or keyword in self.names


# --- read: environment --------------------------------------------------------------------------------------------------


class Card(Fact):
    """An NVIDIA card as its driver describes it (no torch involved)."""

    name: str
    capability: str  # "12.0"
    memory_bytes: int


class Environment(Fact):
    """The interpreter, the installed packages, and the encodings text is written with."""

    python: str
    platform: str
    packages: dict[str, str]  # distribution name in lower case -> version
    stdout_encoding: str
    text_encoding: str  # what open() uses without encoding=
    torchvision_wants_torch: str | None = (
        None  # the exact torch release torchvision was built against, from its metadata
    )
    torch_build: str | None = None  # the local label of torch's version: "cpu", "cu128"
    torchvision_build: str | None = None
    cards: tuple[Card, ...] | Unknown = ()


# --- read: the YAML -----------------------------------------------------------------------------------------------------


class KeyFact(Fact):
    """A key of the YAML file, by its dotted path, and what there is to say about it."""

    path: str
    nearest: str | None = None
    detail: str = ""


class Checkpoint(Fact):
    """A checkpoint found in `training.output_dir`, and what it says it belongs to."""

    path: str
    base_model: str | None = None
    peft_type: str | None = None
    r: int | None = None
    target_modules: tuple[str, ...] = ()


class Configuration(Fact):
    """What the YAML file asks for, after names old and new were brought together. Steps are optimizer steps."""

    source: str
    unknown_keys: tuple[KeyFact, ...] = ()
    ineffective_keys: tuple[KeyFact, ...] = ()
    base_model: str = ""
    is_local: bool = True
    revision: str | None = None
    trust_remote_code: bool = False
    torch_dtype: str | None = None
    attn_implementation: str | None = None
    device_map: str | None = None
    use_cpu: bool = False
    fp16: bool = False
    bf16: bool = False
    gradient_checkpointing: bool = False
    use_reentrant: bool | None = None
    task_type: str | None = None
    target_modules: tuple[str, ...] | str = ()
    lora_r: int = 8
    batch_size: int = 1
    accumulation_steps: int = 1
    total_steps: int | Unknown = 0
    warmup_steps: int = 0
    save_strategy: str = "steps"
    save_steps: int = 500
    eval_strategy: str = "no"
    eval_steps: int | None = None
    load_best_model_at_end: bool = False
    early_stopping: bool = False
    remove_unused_columns: bool = False
    dataloader_workers: int = 0
    pins_memory: bool = True
    max_seq_length: int | None = None
    budget_bytes: int | None = None
    output_dir: str = ""
    checkpoints: tuple[Checkpoint, ...] = ()
    world_size: int = 1
    replaced_parts: tuple[str, ...] = ()  # which of model, collator, peft, trainer are the user's own


# --- read: the model directory ------------------------------------------------------------------------------------------


class Import(Fact):
    """An import in remote code, resolved against the installed packages' source without importing them."""

    module: str
    name: str | None
    file: str
    line: int
    conditional: bool  # under try/except or an `if`, so its absence need not stop anything
    status: Literal["found", "missing package", "missing module", "missing name", "undecided"]
    detail: str = ""  # the installed version that lacks it, or why it is undecided


class Repository(Fact):
    """The model directory: its JSON files and its remote code, read and never run."""

    path: str
    model_type: str | None = None
    architectures: tuple[str, ...] = ()
    auto_map: dict[str, str] = {}
    has_remote_code: bool = False
    files: dict[str, str] = {}  # file name -> sha256 of code and JSON
    unread_code: tuple[str, ...] = ()  # files that loading would run and that could not be read, each with the reason
    forward: Signature | Unknown = Unknown(reason="no remote code")
    imports: tuple[Import, ...] = ()
    device_sites: tuple[Site, ...] = ()  # kind: "cuda" | "autocast" | "no_grad"
    suspicious: tuple[Site, ...] = ()  # kind: what it could do: "runs a command", "opens a connection", ...
    attention: tuple[str, ...] | Unknown = ()  # implementations the code declares
    vocabulary: int | Unknown = 0
    tied_embeddings: bool = False
    torch_dtype: str | None = None
    weights_bytes: int | Unknown = 0


# --- read: tokenizer and processor files --------------------------------------------------------------------------------


class Token(Fact):
    """A special token: its text and its id."""

    content: str
    id: int | None


class ChatTemplate(Fact):
    """One chat template of the repository.

    `place` is the file, with `:name` where one file holds several. `walks_parts`: whether it goes through a message's
    content part by part, as a picture between texts needs it.
    """

    place: str
    sha256: str
    walks_parts: bool = False


class Tokenizer(Fact):
    """The tokenizer's JSON files."""

    declared_class: str | None = None
    length: int | Unknown = 0  # highest id + 1
    bos: Token | None = None
    eos: Token | None = None
    pad: Token | None = None
    image: Token | None = None  # one id, or id None where the text is split into several tokens
    adds_bos: bool = False
    padding_side: str | None = None
    chat_templates: tuple[ChatTemplate, ...] = ()


class ProcessorFiles(Fact):
    """The processor's JSON files, and whether the class they name has any code behind it."""

    declared_class: str | None = None
    class_has_code: bool = False
    image_token: str | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


# --- read: the user's own parts -----------------------------------------------------------------------------------------


class ApiUse(Fact):
    """A name the user's code takes from a library, and what became of it in the installed release."""

    name: str
    site: Site
    replacement: str | None = None


class Subject(Fact):
    """The source of the user's own model loader, collator, adapter step and trainer: by AST, never run."""

    parts: dict[str, str] = {}  # part -> "module:function"
    auto_classes: tuple[ApiUse, ...] = ()  # Auto* classes used for loading
    absent_names: tuple[ApiUse, ...] = ()  # names, keywords and attributes the installed releases no longer have
    image_calls_on_processor: tuple[Site, ...] = ()
    files_without_utf8: tuple[Site, ...] = ()
    swallowed_exceptions: tuple[Site, ...] = ()
    generate_calls: tuple[Site, ...] = ()  # text generation in the user's own code
    left_padding: tuple[Site, ...] = ()  # where that code asks for padding on the left
    training_moves: tuple[Site, ...] = ()  # where their trainer's code may move tensors by itself


# --- read: the rows -----------------------------------------------------------------------------------------------------


class RowProblem(Fact):
    """One row of metadata.json that will cause trouble; `kind` says which."""

    split: str
    row: int
    image: str
    kind: Literal[
        "missing image", "unreadable image", "truncated image", "enormous image", "exif rotation", "16-bit",
        "transparency", "cmyk", "palette", "empty text", "image token in text", "no image",
    ]  # fmt: skip
    detail: str = ""


class Split(Fact):
    """One metadata.json."""

    name: str  # "train" | "val" | "test"
    path: str
    rows: int
    columns: tuple[str, ...]


class Dataset(Fact):
    """The rows and every image header."""

    splits: tuple[Split, ...] = ()
    problems: tuple[RowProblem, ...] = ()
    shared_rows: tuple[str, ...] = ()  # image/text pairs that stand in train and in val or test
    text_is_ascii: bool = True


# --- ran: processor -----------------------------------------------------------------------------------------------------


class Opened(Fact):
    """What one call of AutoProcessor.from_pretrained gave. `site` is the line of the user's that called, if one did."""

    returned: Literal["processor", "tokenizer", "raised"]
    class_name: str = ""
    raised: Raised | None = None
    site: Site | None = None


class Processor(Fact):
    """What AutoProcessor really returns here, and how the user's collator called it.

    `returned`, `class_name` and `raised` are those of the first call in a fresh process; `registered` is what the same call
    gives once the configuration's module was imported.
    """

    returned: Literal["processor", "tokenizer", "raised"]
    class_name: str = ""
    raised: Raised | None = None
    registered: Opened | Unknown = Unknown(reason="not asked a second time")
    unfilled: tuple[str, ...] = ()  # slots of the processor's class that its own constructor has no argument for
    image_calls: tuple[Site, ...] = ()  # calls with images= on an object that has no image path


# --- ran: collator ------------------------------------------------------------------------------------------------------


class Leaf(Fact):
    """One leaf of a batch. `path` reads like Python: `images[0][1]`. Statistics only for tensors with elements."""

    argument: str
    path: str
    kind: str  # "tensor", "None", "int", "PIL image", ...
    shape: tuple[int, ...] = ()
    dtype: str = ""
    device: str = ""
    minimum: float | None = None
    maximum: float | None = None
    mean: float | None = None


class Delta(Fact):
    """Where the user's batch is built otherwise than a batch this model is known to accept."""

    argument: str
    path: str
    kind: Literal["missing", "none", "unexpected", "container", "rank", "shape", "length", "dtype", "device", "value"]
    seen: str
    expected: str


class Row(Fact):
    """One row of a batch as strings with one character per token, so that a shift can be seen by eye.

    `roles`: `b` BOS, `i` image placeholder, `p` prompt, `t` target, `e` EOS, `.` padding, `?` could not be told.
    `trained`, `attended`, `marked`: `1` where the label is not -100, the attention mask is on, the placement mask is on.
    `marked` is empty where the model has no placement mask; it has its own length, which may be wrong.
    """

    roles: str
    trained: str
    attended: str
    marked: str = ""
    supervised_text: str = ""  # the decoded trained tokens
    target_text: str = ""  # what the row asked to be learned
    prompt_text: str = ""  # the decoded prompt without image placeholders
    truncated: bool = False

    def count(self, role: str, flags: str | None = None) -> int:
        """How many tokens have `role`, and, with `flags`, are switched on there."""
        if flags is None:
            return self.roles.count(role)
        return sum(r == role and f == "1" for r, f in zip(self.roles, flags, strict=False))


class PixelView(Fact):
    """One image tensor of a row, compared with the same page prepared as the model's own files ask for.

    `mean`, `std` per channel are recovered by regression against the reference, so they are what was really applied.
    """

    row: int
    path: str
    geometry: Literal["as expected", "squashed", "cropped", "mirrored", "turned", "unrecognised"]
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    source_row: int | None = None  # the row whose page this really is
    detail: str = ""


class Grid(Fact):
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


class Batch(Fact):
    """A batch that a collator returned for `rows_in` rows."""

    rows_in: int
    rows_out: int
    keys: tuple[str, ...]
    leaves: tuple[Leaf, ...]
    rows: tuple[Row, ...] | Unknown


class Collator(Fact):
    """The collator in use (the user's, or ours), run on real rows."""

    owner: str  # "module:function" or "preflight"
    batch: Batch | Raised
    reference: Batch | Unknown  # our own collator on the same rows; Unknown for a model nobody has declared
    placeholder: str | None = None  # the image token's text; None where pictures take no place among the tokens
    roles: dict[str, str] = {}  # forward argument -> pixels | placement_mask | tiling | grid
    deltas: tuple[Delta, ...] | Unknown = ()
    views: tuple[PixelView, ...] | Unknown = ()
    grid: Grid | Unknown | None = None  # None where the model takes none
    planned_tiles: tuple[int, ...] | Unknown = ()  # per row, local views the page's size calls for
    seen_tiles: tuple[int, ...] | Unknown = ()
    deterministic: bool | Unknown = True
    pickles: bool | Unknown = True
    pickle_error: str = ""
    expected_prompt: str | Unknown = ""  # the prompt that prediction uses
    starts_with_bos: bool | Unknown = True  # what the reference does
    mixed_rows: Raised | Literal["ok"] | Unknown = "ok"  # a batch in which one row has no image
    mixed_swaps: tuple[int, ...] = ()  # rows of that batch that got another row's page
    swallowed_rows: int | Unknown = 0  # rows that vanished, without an exception, because their page does not exist
    safe_length: int | Unknown = 0  # the smallest max_seq_length that cuts no image token, over all rows


# --- ran: forward -------------------------------------------------------------------------------------------------------


class Landing(Fact):
    """Where image features really landed in one row: inputs of the first decoder layer against the input embeddings.

    `landed` has one character per token: `1` where the vector is not the token's own embedding any more.
    `features` is how many feature vectors the model offered for the row; Unknown where no scatter was seen.
    """

    row: int
    placeholders: int
    features: int | Unknown
    landed: str


class Repair(Fact):
    """An argument of the user's batch that had to be replaced by the reference's before forward could go on."""

    argument: str
    raised: Raised


class Behaviour(Fact):
    """What changes in the logits when one thing in the batch changes. One entry per row; `None` = row has none."""

    text_reaches: tuple[bool, ...]
    image_reaches: tuple[bool | None, ...]
    image_leaks: tuple[tuple[int, int], ...] = ()  # (row whose image changed, other row whose logits changed)
    padding_changes: bool | Unknown = False


class Wrapper(Fact):
    """A module of the user's around the model. `dropped`: keywords of the inner forward that never arrive."""

    class_name: str
    inner_class: str
    dropped: tuple[str, ...] = ()
    same_outputs: bool | Unknown = True
    shared_names: tuple[tuple[str, str], ...] = ()  # two names in the tree for one and the same module


class LostBuffer(Fact):
    """A buffer that no checkpoint holds and that is not what the class computes when it is built. Values as text."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    seen: str
    expected: str


class Origin(Fact):
    """Where a tensor comes from.

    `name` is that of the entry of the batch (`images[0][1]`), of the attribute, the global or the parameter. `site` is the
    line that made it, or, where it was moved, the line that moved it.
    """

    kind: Literal["entry", "attribute", "global", "parameter", "buffer", "made", "moved"]
    name: str = ""
    site: Site | None = None
    call: str = ""  # what made it: "zeros", "Tensor.cpu"


class Operand(Fact):
    """A tensor that an operation was called with. `argument` is the operation's own name for it."""

    argument: str
    shape: tuple[int, ...]
    dtype: str
    device: str  # "cpu" | "cuda:0"
    origin: Origin | None = None  # None: computed, or not known


class Mixture(Fact):
    """An operation whose tensors would have been on different devices.

    `stray` is the one that is not where the others are. `site` is the innermost line of the user's or the model's code,
    `inside` the innermost line of any library, where that is another one.
    """

    operation: str
    stray: Operand
    beside: Operand
    site: Site | None
    inside: Site | None = None
    times: int = 1


class Unmoved(Fact):
    """A tensor in the batch that Trainer leaves on the CPU, or an entry at which moving the batch raises."""

    path: str
    holder: str  # the type of what holds it: "planted.Page"
    shape: tuple[int, ...] = ()
    dtype: str = ""
    raised: Raised | None = None


class Returned(Fact):
    """A tensor that the collator itself returns on an accelerator. `site` is the line that brought it there."""

    path: str
    shape: tuple[int, ...]
    dtype: str
    site: Site | None = None


class NamedCard(Fact):
    """A line that names a card itself. `owner` is whose code it is, `during` what ran."""

    site: Site
    owner: Literal["user", "model", "library"]
    during: Literal["collator", "forward"]


class HostCopy(Fact):
    """A tensor on an accelerator that was asked for as a numpy array, which raises TypeError there."""

    call: str
    shape: tuple[int, ...]
    dtype: str
    site: Site | None
    origin: Origin | None = None


class Synchronisation(Fact):
    """A place at which the CPU waits for the accelerator."""

    call: str
    site: Site | None
    times: int = 1


class Undecided(Fact):
    """An operation on different devices of which it is not known whether torch would take them, and why."""

    operation: str
    site: Site | None
    reason: str


class Placement(Fact):
    """Model and batch as on an accelerator, simulated: real numbers on the CPU, and a ledger of where each would be.

    `whole` says whether the user's own model was called, wrapper and all, or the bare one. `ended` is how forward ended in
    the simulation, `also` what ran besides: a forward in training mode, two tokens generated.
    """

    ended: Raised | Literal["ok"]
    whole: bool = True
    also: dict[str, str] = {}  # what ran -> "ok", or the exception that ended it
    mixtures: tuple[Mixture, ...] = ()
    unmoved: tuple[Unmoved, ...] = ()
    returned: tuple[Returned, ...] = ()
    named: tuple[NamedCard, ...] = ()
    host_copies: tuple[HostCopy, ...] = ()
    synchronisations: tuple[Synchronisation, ...] = ()  # of one forward with labels
    undecided: tuple[Undecided, ...] = ()


class Forward(Fact):
    """The model itself, called with the user's batch and with the reference batch."""

    signature: Signature | Unknown
    model_class: str
    weights: Literal["real", "random"]
    loading: Raised | None = None
    given: Raised | Literal["ok"] | Unknown = "ok"  # the user's batch, unchanged
    reference: Raised | Literal["ok"] | Unknown = "ok"
    repairs: tuple[Repair, ...] = ()
    landing: tuple[Landing, ...] | Unknown = ()
    behaviour: Behaviour | Unknown = Unknown(reason="not run")
    wrapper: Wrapper | None = None
    loss: float | Unknown = 0.0
    uniform_loss: float | Unknown = 0.0  # ln(vocabulary)
    loss_reads: Literal["next", "same", "neither"] | Unknown = Unknown(
        reason="not run"
    )  # which label a position is held to
    dtypes: dict[str, dict[str, int]] = {}  # part -> dtype -> number of weights
    embedding_rows: int | Unknown = 0
    highest_token_id: int | Unknown = 0
    redirected: tuple[Site, ...] = ()  # hard-coded .cuda() and the like, sent to the CPU so that the run could go on
    has_generate: bool | Unknown = True
    generation: Raised | Literal["ok"] | Unknown = Unknown(reason="not run")  # two tokens by the model's own generate
    padding_side: str | None = None  # of the tokenizer that prediction will use
    idle_keys: tuple[str, ...] | Unknown = ()  # keys only **kwargs takes and without which the outputs are the same
    lost_buffers: tuple[LostBuffer, ...] | Unknown = ()
    placement: Placement | Unknown = Unknown(reason="not run")
    processor_calls: tuple[
        Opened, ...
    ] = ()  # AutoProcessor as the user's loader and collator called it, in their order


# --- ran: adapter and learning ------------------------------------------------------------------------------------------


class Target(Fact):
    """One entry of target_modules and how many modules it hits, by part of the model."""

    name: str
    hits: dict[str, int]


class Carrier(Fact):
    """Modules of one kind that an adapter can be put on, and how many have one.

    `name` has `*` where a number stands in the modules' names: `model.layers.*.self_attn.q_proj`.
    """

    part: str
    name: str
    modules: int
    adapted: int


class Adapter(Fact):
    """LoRA as it will be trained. Parts: vision, projector, embedding, attention, mlp, experts, head, other."""

    raised: Raised | None = None
    task_type: str | None = None
    injected: tuple[str, ...] = ()  # keywords that PEFT's task wrapper adds to every call
    rejected: tuple[str, ...] = ()  # those forward does not take
    fitting_task_types: tuple[str, ...] = ()
    targets: tuple[Target, ...] | Unknown = ()
    trainable: int = 0
    trainable_dtypes: tuple[str, ...] = ()
    total: int = 0
    key_example: str = ""
    inside_wrapper: bool = False  # PEFT was put around a wrapper, so the adapter's keys carry the wrapper's name
    on_tied_weights: tuple[str, ...] = ()
    loss_keyword: str | None = None  # what Trainer will add to every call, a wrapper hands on and forward does not take
    carriers: tuple[Carrier, ...] | Unknown = Unknown(reason="the modules were not counted")


class Census(Fact):
    """Adapters of one part after backward and two optimizer steps.

    `idle` is kind (as in `Carrier.name`) -> adapters of that kind without a gradient, those of unreached experts left out.
    """

    part: str
    checkpointing: bool
    adapters: int
    with_gradient: int
    moved: int
    unreached: int = 0  # experts that no token was routed to
    idle: dict[str, int] = {}


class RoundTrip(Fact):
    """The adapter saved, then loaded onto the bare model in a fresh process."""

    same_logits: bool | Unknown
    differs_from_base: bool | Unknown
    missing_keys: tuple[str, ...] = ()
    unexpected_keys: tuple[str, ...] = ()
    lost_keys: tuple[str, ...] = ()  # in the file, and not with these numbers in the model they were loaded into


class Learning(Fact):
    """Two optimizer steps, a batch repeated, and what became of the adapter."""

    census: tuple[Census, ...] | Unknown = ()
    training: Raised | Literal["ok"] = "ok"
    mixed_precision: Raised | Literal["ok"] | Unknown = "ok"  # one step as fp16/bf16/torch_dtype ask for
    checkpointing: Raised | Literal["ok"] | Unknown = "ok"
    losses: tuple[float, ...] | Unknown = ()
    round_trip: RoundTrip | Unknown = Unknown(reason="not run")
    merged_equals_unmerged: bool | Unknown = True
    accumulation_ratio: float | Unknown = 1.0  # logged loss with accumulation over the same loss without


class MemoryNeed(Fact):
    """A lower bound of a training step's peak, in bytes, by part; measured on this model at this batch size."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    batch_size: int
    longest_row: int

    @property
    def total(self) -> int:
        """The sum of the parts, in bytes."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.logits


# --- gpu ----------------------------------------------------------------------------------------------------------------


class Device(Fact):
    """What an accelerator answered; Unknown wherever there is none. `refused` is why torch cannot use one that is there."""

    name: str
    capability: str
    arch_list: tuple[str, ...]
    refused: Raised | None = None


class Stray(Fact):
    """A tensor that is not on the card after model and batch were moved as Trainer moves them."""

    owner: Literal["batch", "weight", "buffer"]
    path: str
    device: str
    shape: tuple[int, ...]


class Precision(Fact):
    """One way of training on the card: one optimizer step, and the logits beside those of the CPU in float32.

    `difference` is |card - CPU| / |CPU| over all logits, of which `tolerance` is allowed. `not_finite` names the loss, the
    logits or the first trained weights whose gradients are not.
    """

    name: str
    is_configured: bool
    step: Raised | Literal["ok"]
    loss: float | Unknown
    difference: float | Unknown
    tolerance: float
    not_finite: tuple[str, ...] = ()


class Wait(Fact):
    """A line in one forward at which the processor waited for the card, and how often."""

    site: Site
    times: int


class AttentionTry(Fact):
    """One attention implementation on the card; `is_used` where the run will have it."""

    name: str
    is_used: bool
    ended: Raised | Literal["ok"] | Unknown
    difference: float | Unknown
    tolerance: float


class LoaderTry(Fact):
    """A DataLoader over the user's rows; `strays` are the entries of its batches that did not come to the card."""

    workers: int
    is_pinned: bool
    ended: Raised | Literal["ok"]
    strays: tuple[str, ...] = ()


class Accelerator(Fact):
    """Training on the card. `precisions` begins with the one the YAML asks for; `held` is in bytes, one for each step."""

    strays: tuple[Stray, ...]
    precisions: tuple[Precision, ...]
    waits: tuple[Wait, ...] | Unknown
    held: tuple[int, ...] | Unknown
    attention: tuple[AttentionTry, ...] | Unknown
    generation: Raised | Literal["ok"] | Unknown
    loaders: tuple[LoaderTry, ...]


NOT_RUN = Unknown(reason="not run")


class Facts(Fact):
    """Everything the probes saw, in one frozen value."""

    environment: Environment | Unknown = NOT_RUN
    configuration: Configuration | Unknown = NOT_RUN
    repository: Repository | Unknown = NOT_RUN
    tokenizer: Tokenizer | Unknown = NOT_RUN
    processor_files: ProcessorFiles | Unknown = NOT_RUN
    subject: Subject | Unknown = NOT_RUN
    dataset: Dataset | Unknown = NOT_RUN
    processor: Processor | Unknown = NOT_RUN
    collator: Collator | Unknown = NOT_RUN
    forward: Forward | Unknown = NOT_RUN
    adapter: Adapter | Unknown = NOT_RUN
    learning: Learning | Unknown = NOT_RUN
    memory: MemoryNeed | Unknown = NOT_RUN
    device: Device | Unknown = NOT_RUN
    accelerator: Accelerator | Unknown = NOT_RUN

    def to_json(self) -> bytes:
        """UTF-8 JSON with sorted keys: equal facts give equal bytes."""
        return msgspec.json.encode(self, order="sorted")

    @staticmethod
    def from_json(text: bytes | str) -> Facts:
        """The inverse of `to_json`. Raises msgspec.ValidationError on anything else."""
        return msgspec.json.decode(text, type=Facts)

    def digest(self) -> str:
        """A sha256 over `to_json`, in hexadecimal."""
        return hashlib.sha256(self.to_json()).hexdigest()

    def unknown_on(self, path: str) -> Unknown | None:
        """The first Unknown met on a dotted path such as `collator.batch.rows`, or None when all of it is known."""
        here: object = self
        for step in path.split("."):
            here = getattr(here, step)
            if isinstance(here, Unknown):
                return here
            if isinstance(here, Raised):
                return Unknown(reason=f"{path} could not be looked at: {here.type}: {here.message}")
            if here is None:
                return Unknown(reason=f"{path}: there is none")
        return None
