"""What files, JSON, syntax trees and image headers tell: nothing was executed."""

from __future__ import annotations

from typing import Literal

from preflight_ocr.harness.facts.base import NOT_LOOKED_AT, Fact, Signature, Site, Unknown


class InstalledCard(Fact, kw_only=True):
    """An NVIDIA card as its driver describes it (no torch involved)."""

    name: str
    capability: str  # "12.0"
    memory_bytes: int


class Environment(Fact, kw_only=True):
    """The interpreter, the installed packages, and the encodings text is written with."""

    python: str
    platform: str
    packages: dict[str, str]  # distribution name in lower case -> version
    stdout_encoding: str
    text_encoding: str  # what open() uses without encoding=
    torchvision_wants_torch: str | None  # the exact torch release torchvision was built against, from its metadata
    torch_build: str | None  # the local label of torch's version: "cpu", "cu128"; PyPI's has it in version.py alone
    torchvision_build: str | None
    cards: tuple[InstalledCard, ...] | Unknown = NOT_LOOKED_AT


class KeyFact(Fact, kw_only=True):
    """A key of the YAML file, by its dotted path, and what there is to say about it."""

    path: str
    nearest: str | None
    detail: str


class Checkpoint(Fact, kw_only=True):
    """A checkpoint found in `training.output_dir`, and what it says it belongs to."""

    path: str
    base_model: str | None
    peft_type: str | None
    r: int | None
    target_modules: tuple[str, ...]


class Configuration(Fact, kw_only=True):
    """What the YAML file asks for, after names old and new were brought together. Steps are optimizer steps."""

    source: str
    unknown_keys: tuple[KeyFact, ...]
    ineffective_keys: tuple[KeyFact, ...]
    base_model: str
    is_local: bool
    revision: str | None
    trust_remote_code: bool
    torch_dtype: str | None
    attn_implementation: str | None
    device_map: str | None
    use_cpu: bool
    fp16: bool
    bf16: bool
    gradient_checkpointing: bool
    use_reentrant: bool | None
    task_type: str | None
    target_modules: tuple[str, ...] | str
    lora_r: int
    batch_size: int
    accumulation_steps: int
    total_steps: int | Unknown = NOT_LOOKED_AT
    warmup_steps: int
    save_strategy: str
    save_steps: int
    eval_strategy: str
    eval_steps: int | None
    load_best_model_at_end: bool
    early_stopping: bool
    remove_unused_columns: bool
    dataloader_workers: int
    pins_memory: bool
    max_seq_length: int | None
    budget_bytes: int | None
    output_dir: str
    checkpoints: tuple[Checkpoint, ...]
    world_size: int
    refused_values: tuple[KeyFact, ...] | Unknown = NOT_LOOKED_AT  # by the installed transformers' own tables
    lacking_packages: tuple[KeyFact, ...] | Unknown = NOT_LOOKED_AT  # `nearest` is the package that `detail` needs
    replaced_parts: tuple[str, ...]  # which of model, collator, peft, trainer are the user's own


class Import(Fact, kw_only=True):
    """An import in remote code, resolved against the installed packages' source without importing them."""

    module: str
    name: str | None
    file: str
    line: int
    conditional: bool  # under try/except or an `if`, so its absence need not stop anything
    status: Literal["found", "missing package", "missing module", "missing name", "undecided"]
    detail: str  # the installed version that lacks it, or why it is undecided


class Repository(Fact, kw_only=True):
    """The model directory: its JSON files and its remote code, read and never run."""

    path: str
    model_type: str | None
    architectures: tuple[str, ...]
    auto_map: dict[str, str]
    has_remote_code: bool
    files: dict[str, str]  # file name -> sha256 of code and JSON
    unread_code: tuple[str, ...]  # files that loading would run and that could not be read, each with the reason
    forward: Signature | Unknown = Unknown(reason="no remote code")
    imports: tuple[Import, ...]
    device_sites: tuple[Site, ...]  # kind: "cuda" | "autocast" | "no_grad"
    suspicious: tuple[Site, ...]  # kind: what it could do: "runs a command", "opens a connection", ...
    attention: tuple[str, ...] | Unknown = NOT_LOOKED_AT  # implementations the code declares
    vocabulary: int | Unknown = NOT_LOOKED_AT
    tied_embeddings: bool
    torch_dtype: str | None
    weights_bytes: int | Unknown = NOT_LOOKED_AT


class Token(Fact, kw_only=True):
    """A special token: its text and its id."""

    content: str
    id: int | None


class ChatTemplate(Fact, kw_only=True):
    """One chat template of the repository.

    `place` is the file, with `:name` where one file holds several. `walks_parts`: whether it goes through a message's
    content part by part, as a picture between texts needs it.
    """

    place: str
    sha256: str
    walks_parts: bool


class Tokenizer(Fact, kw_only=True):
    """The tokenizer's JSON files."""

    declared_class: str | None
    length: int | Unknown = NOT_LOOKED_AT  # highest id + 1
    bos: Token | None
    eos: Token | None
    pad: Token | None
    image: Token | None  # one id, or id None where the text is split into several tokens
    adds_bos: bool
    padding_side: str | None
    chat_templates: tuple[ChatTemplate, ...]


class ProcessorFiles(Fact, kw_only=True):
    """The processor's JSON files, and whether the class they name has any code behind it."""

    declared_class: str | None
    class_has_code: bool
    image_token: str | None
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None


class ApiUse(Fact, kw_only=True):
    """A name the user's code takes from a library, and what became of it in the installed release."""

    name: str
    site: Site
    replacement: str | None


class Subject(Fact, kw_only=True):
    """The source of the user's own model loader, collator, adapter step and trainer: by AST, never run."""

    parts: dict[str, str]  # part -> "module:function"
    auto_classes: tuple[ApiUse, ...]  # Auto* classes used for loading
    absent_names: tuple[ApiUse, ...]  # names, keywords and attributes the installed releases no longer have
    image_calls_on_processor: tuple[Site, ...]
    files_without_utf8: tuple[Site, ...]
    swallowed_exceptions: tuple[Site, ...]
    generate_calls: tuple[Site, ...]  # text generation in the user's own code
    left_padding: tuple[Site, ...]  # where that code asks for padding on the left
    training_moves: tuple[Site, ...]  # where their trainer's code may move tensors by itself
    batch_entries: dict[
        str, tuple[Site, ...]
    ]  # key of the collator's batch -> the statements that make it, the last first


class RowProblem(Fact, kw_only=True):
    """One row of metadata.json that will cause trouble; `kind` says which."""

    split: str
    row: int
    image: str
    kind: Literal[
        "missing image", "unreadable image", "truncated image", "enormous image", "exif rotation", "16-bit",
        "transparency", "cmyk", "palette", "empty text", "image token in text", "no image", "malformed row",
    ]  # fmt: skip
    detail: str


class Split(Fact, kw_only=True):
    """One set of rows: a metadata.json, or another file or folder of rows."""

    name: str  # "train" | "val" | "test"
    path: str
    rows: int
    pictured: int | Unknown  # rows that have a picture
    columns: tuple[str, ...]


class Spellings(Fact, kw_only=True):
    """What Unicode spells in two ways. `shaped` names the first of `shaped_rows` rows with Arabic presentation forms;
    `both_ways` has a line for the first of `letters` letters that are one character in some rows and several in others."""

    shaped: tuple[str, ...]
    shaped_rows: int
    letters: int
    both_ways: tuple[str, ...]


class Dataset(Fact, kw_only=True):
    """The rows and every image header."""

    splits: tuple[Split, ...]
    problems: tuple[RowProblem, ...]
    shared_rows: tuple[str, ...]  # image/text pairs that stand in train and in val or test
    text_is_ascii: bool
    spellings: Spellings | Unknown = NOT_LOOKED_AT
    image_headers: int | Unknown = NOT_LOOKED_AT
    """How many image files were opened."""
    image_pixels: int | Unknown = NOT_LOOKED_AT
    """How many were decoded; Unknown where some were not and no other is damaged."""
