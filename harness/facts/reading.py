"""What files, JSON, syntax trees and image headers tell: nothing was executed."""

from __future__ import annotations

from typing import Literal

from preflight_ocr.harness.facts.base import Fact, Signature, Site, Unknown


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
    image_headers: int | Unknown = Unknown(reason="no probe has looked at the image headers")
    """How many image files were opened."""
