"""The sections of the YAML file as frozen structs, with the default of every key."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import msgspec

from preflight_ocr.harness.foreign.files import is_folder, is_there


class UnknownKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key that nobody reads. `nearest` is the known dotted key its author may have meant."""

    path: str
    nearest: str | None = None
    line: int | None = None


class InertKey(msgspec.Struct, frozen=True, kw_only=True):
    """A known key, present in the file, that changes nothing in this file's setting."""

    path: str
    reason: str


class Quantization(msgspec.Struct, frozen=True, kw_only=True):
    """Weights packed by bitsandbytes, under the names of transformers' BitsAndBytesConfig. None means what that takes."""

    load_in_4bit: bool = False
    load_in_8bit: bool = False
    bnb_4bit_quant_type: Literal["nf4", "fp4"] | None = None
    bnb_4bit_use_double_quant: bool | None = None
    bnb_4bit_compute_dtype: str | None = None
    bnb_4bit_quant_storage: str | None = None
    llm_int8_threshold: float | None = None
    llm_int8_skip_modules: list[str] | None = None


class ModelSection(msgspec.Struct, frozen=True, kw_only=True):
    base_model: str
    revision: str | None = None
    cache_dir: Path | None = None
    torch_dtype: str | None = None
    attn_implementation: str | None = None
    device_map: str | dict[str, Any] | None = None
    trust_remote_code: bool = False
    quantization: Quantization | None = None

    @property
    def directory(self) -> Path | None:
        """The local model directory, or None when `base_model` is the id of a hub repository."""
        path = Path(self.base_model)
        return path if is_folder(path) else None

    @property
    def is_hub_id(self) -> bool:
        """Whether `base_model` is written as the id of a hub repository is, and nothing here has that name."""
        written = re.fullmatch(r"[\w.-]+(/[\w.-]+)?", self.base_model) is not None
        return written and not self.base_model.startswith(".") and not is_there(Path(self.base_model))


class LoraSection(msgspec.Struct, frozen=True, kw_only=True):
    r: int = 8
    lora_alpha: int | float = 16
    lora_dropout: float = 0.0
    bias: str = "none"
    task_type: str | None = "CAUSAL_LM"
    target_modules: list[str] | str | None = None
    exclude_modules: list[str] | str | None = None
    modules_to_save: list[str] | None = None
    layers_to_transform: list[int] | int | None = None
    layers_pattern: list[str] | str | None = None
    rank_pattern: dict[str, int] | None = None
    alpha_pattern: dict[str, float] | None = None
    init_lora_weights: bool | str | None = None
    use_rslora: bool = False
    use_dora: bool = False


class TrainingSection(msgspec.Struct, frozen=True, kw_only=True):
    """`arguments` is what the file gives, under the names it gives; the other fields are what we interpret ourselves.

    Both sections of the file that speak of training are merged: `optimization` first, `training` over it.
    """

    arguments: dict[str, Any] = {}
    output_dir: Path = Path("outputs")
    per_device_train_batch_size: int = 8
    per_device_eval_batch_size: int = 8
    gradient_accumulation_steps: int = 1
    num_train_epochs: float = 3.0
    max_steps: int = -1
    learning_rate: float = 5e-5
    lr_scheduler_type: str = "linear"
    optim: str | None = None
    max_grad_norm: float = 1.0
    warmup_steps: float = 0
    warmup_ratio: float = 0.0
    save_strategy: str = "steps"
    save_steps: float = 500
    eval_strategy: str = "no"
    eval_steps: float | None = None
    logging_steps: float = 500
    load_best_model_at_end: bool = False
    metric_for_best_model: str | None = None
    fp16: bool = False
    bf16: bool = False
    use_cpu: bool = False
    gradient_checkpointing: bool = False
    gradient_checkpointing_kwargs: dict[str, Any] | None = None
    remove_unused_columns: bool | None = None
    dataloader_num_workers: int = 0
    resume_from_checkpoint: str | bool | None = None
    seed: int = 42


class OptimizationSection(msgspec.Struct, frozen=True, kw_only=True):
    """The section as given; its values reach training through `TrainingSection.arguments`."""

    optimizer: str | None = None
    arguments: dict[str, Any] = {}


class Preprocessing(msgspec.Struct, frozen=True, kw_only=True):
    """Image geometry in pixels. None means what the model's own files or its family say."""

    base_size: int | None = None
    image_size: int | None = None
    crop_mode: bool | None = None
    normalize: bool | None = None
    image_mean: tuple[float, float, float] | None = None
    image_std: tuple[float, float, float] | None = None
    min_pixels: int | None = None
    max_pixels: int | None = None
    resampling: Literal["exact", "fast"] = "exact"
    resize: Any = None


class Augmentation(msgspec.Struct, frozen=True, kw_only=True):
    """`rotation_range` in degrees either way; the other two are ranges of the factor 1.0 = unchanged."""

    enabled: bool = False
    rotation_range: float = 0.0
    brightness_range: tuple[float, float] = (1.0, 1.0)
    contrast_range: tuple[float, float] = (1.0, 1.0)


class DataSection(msgspec.Struct, frozen=True, kw_only=True):
    """Each path is a file or a folder of rows, in a form of `harness/foreign/tables.py`; image paths are relative to it."""

    train_path: Path | None = None
    val_path: Path | None = None
    test_path: Path | None = None
    max_seq_length: int | None = None
    prompt: str | None = None
    cache_dir: Path | None = None
    cache_gb: float = 20.0
    preprocessing: Preprocessing = Preprocessing()
    augmentation: Augmentation = Augmentation()


class EarlyStopping(msgspec.Struct, frozen=True, kw_only=True):
    patience: int
    threshold: float = 0.0


Normalisation = Literal["nfc", "nfkc", "casefold", "whitespace"]


class EvaluationSection(msgspec.Struct, frozen=True, kw_only=True):
    """How reading is measured: after training, and in it on a `sample` of the rows of `data.val_path`."""

    normalise: tuple[Normalisation, ...] = ()
    sample: int | None = None
    max_new_tokens: int | None = None


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    vram_gb: float | None = None


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """The user's own parts as "package.module:function"; `path` is put on `sys.path` before they are imported.

    environment: variables that foreign code gets in a check although their names say that they hold a secret.
    """

    path: Path
    model: str | None = None
    collator: str | None = None
    peft: str | None = None
    trainer: str | None = None
    dataset: str | None = None
    environment: tuple[str, ...] = ()


class Config(msgspec.Struct, frozen=True, kw_only=True):
    source: Path
    model: ModelSection
    subject: Subject
    lora: LoraSection = LoraSection()
    training: TrainingSection = TrainingSection()
    optimization: OptimizationSection = OptimizationSection()
    data: DataSection = DataSection()
    early_stopping: EarlyStopping | None = None
    evaluation: EvaluationSection = EvaluationSection()
    budget: Budget = Budget()
    given: tuple[str, ...] = ()
    unknown_keys: tuple[UnknownKey, ...] = ()
    lines: dict[str, int] = {}
