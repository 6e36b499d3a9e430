"""One YAML file becomes one frozen, validated Config.

Only the YAML file is read here: no model, no data, no library that takes longer to import than the file takes to parse.
Every key either has an effect, named in `EFFECTS`, or can be reported: `Config.unknown_keys` holds the names nobody
knows, `inert_keys` the known ones that change nothing in this file's setting.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml

from preflight_ocr.harness.config import compat
from preflight_ocr.harness.config.errors import UserError

_SCIENTIFIC = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)[eE][+-]?\d+")
_PART = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


class ConfigError(UserError):
    """The YAML file cannot be used. The message says what was seen, what was expected and what to type next."""

    def __init__(self, source: Path, message: str, *, line: int | None = None, column: int | None = None) -> None:
        self.source, self.line, self.column = source, line, column
        place = "".join(f":{number}" for number in (line, column) if number is not None)
        super().__init__(f"{source}{place}: {message}")


class UnknownKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key that nobody reads. `nearest` is the known dotted key its author may have meant."""

    path: str
    nearest: str | None = None
    line: int | None = None


class InertKey(msgspec.Struct, frozen=True, kw_only=True):
    """A known key, present in the file, that changes nothing in this file's setting."""

    path: str
    reason: str


class ModelSection(msgspec.Struct, frozen=True, kw_only=True):
    base_model: str
    revision: str | None = None
    cache_dir: Path | None = None
    torch_dtype: str | None = None
    attn_implementation: str | None = None
    device_map: str | dict[str, Any] | None = None
    trust_remote_code: bool = False

    @property
    def directory(self) -> Path | None:
        """The local model directory, or None when `base_model` is the id of a hub repository."""
        path = Path(self.base_model)
        return path if path.is_dir() else None


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
    """Each path is a directory with `metadata.json`: `[{image_path, text, ...}]`, image paths relative to it."""

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


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    vram_gb: float | None = None


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """The user's own parts as "package.module:function"; `path` is put on `sys.path` before they are imported."""

    path: Path
    model: str | None = None
    collator: str | None = None
    peft: str | None = None
    trainer: str | None = None


class Config(msgspec.Struct, frozen=True, kw_only=True):
    source: Path
    model: ModelSection
    subject: Subject
    lora: LoraSection = LoraSection()
    training: TrainingSection = TrainingSection()
    optimization: OptimizationSection = OptimizationSection()
    data: DataSection = DataSection()
    early_stopping: EarlyStopping | None = None
    budget: Budget = Budget()
    given: tuple[str, ...] = ()
    unknown_keys: tuple[UnknownKey, ...] = ()
    lines: dict[str, int] = {}


EFFECTS: Mapping[str, str] = {
    "model.base_model": "names the model directory, or the hub repository, that is checked and trained",
    "model.revision": "pins the commit of a hub repository",
    "model.cache_dir": "says where downloaded model files are kept",
    "model.torch_dtype": "is the dtype the weights are loaded in",
    "model.attn_implementation": "chooses the attention implementation at load",
    "model.device_map": "places the weights at load on a machine with an accelerator",
    "model.trust_remote_code": "allows the model repository's own Python code to run",
    "lora.r": "is the rank of the adapter",
    "lora.lora_alpha": "scales the adapter by lora_alpha / r",
    "lora.lora_dropout": "drops adapter inputs in training",
    "lora.bias": "says which biases are trained",
    "lora.task_type": "chooses PEFT's task wrapper",
    "lora.target_modules": "names the modules that get an adapter",
    "lora.exclude_modules": "names modules that get no adapter although target_modules matches them",
    "lora.modules_to_save": "names modules that are trained and saved in full",
    "lora.layers_to_transform": "limits the adapter to these layers",
    "lora.layers_pattern": "names the list of layers that layers_to_transform counts in",
    "lora.rank_pattern": "gives some modules another rank",
    "lora.alpha_pattern": "gives some modules another alpha",
    "lora.init_lora_weights": "chooses how the adapter is initialised",
    "lora.use_rslora": "scales the adapter by lora_alpha / sqrt(r)",
    "lora.use_dora": "adds a learned magnitude to the adapter",
    "optimization.optimizer": "is passed to TrainingArguments as optim",
    "data.train_path": "is the directory of the rows trained on",
    "data.val_path": "is the directory of the rows evaluated on",
    "data.test_path": "is the directory of the rows that are only scored at the end",
    "data.max_seq_length": "is the longest sequence in tokens; the target text is cut, the image never",
    "data.prompt": "replaces the family's prompt",
    "data.cache_dir": "keeps prepared pages there, found by their content, for models whose pages we prepare; only training "
    "reads them, and never for augmented rows",
    "data.cache_gb": "is how much of the disk data.cache_dir may take, 20 if not given",
    "data.preprocessing.base_size": "is the side of the global view in pixels",
    "data.preprocessing.image_size": "is the side of a tile in pixels",
    "data.preprocessing.crop_mode": "turns tiling on or off",
    "data.preprocessing.normalize": "false leaves pixels at 0..1 in place of normalising them",
    "data.preprocessing.image_mean": "replaces the mean of the model's processor_config.json",
    "data.preprocessing.image_std": "replaces the standard deviation of the model's processor_config.json",
    "data.preprocessing.min_pixels": "is the fewest pixels of a page, for models that take whole pages as patches",
    "data.preprocessing.max_pixels": "is the most pixels of a page, for models that take whole pages as patches",
    "data.preprocessing.resampling": "fast resizes with torch's byte kernel in place of Pillow's, for models whose "
    "pages we prepare: faster, and one value in a thousand is off by a level of 255, or two; else exact",
    "data.augmentation.enabled": "turns augmentation of the training images on",
    "data.augmentation.rotation_range": "rotates a training image by up to so many degrees either way",
    "data.augmentation.brightness_range": "multiplies the brightness of a training image by a factor in this range",
    "data.augmentation.contrast_range": "multiplies the contrast of a training image by a factor in this range",
    "early_stopping.patience": "is the number of evaluations without improvement after which training stops",
    "early_stopping.threshold": "is the improvement that counts as one",
    "budget.vram_gb": "is the memory of the card that the predicted peak is held against",
    "subject.path": "is put on sys.path before the user's parts are imported",
    "subject.model": "loads the model in place of our loader",
    "subject.collator": "builds the collator in place of ours",
    "subject.peft": "adds the adapter in place of our step",
    "subject.trainer": "builds the trainer in place of ours",
}
"""Every dotted key that does something, with what it does. `training.*` adds every TrainingArguments name."""

INERT: Mapping[str, str] = {
    "data.preprocessing.resize": "the model's tiling and padding decide the size; a free resize would squash the page",
}
"""Keys that people write and that change nothing, with the reason."""

_READ_ONLY_BY: Mapping[str, tuple[str, ...]] = {
    "model": ("model.torch_dtype", "model.attn_implementation", "model.device_map"),
    "collator": (
        "data.max_seq_length",
        "data.prompt",
        "data.test_path",
        "data.cache_",
        "data.preprocessing.",
        "data.augmentation.",
    ),
    "peft": ("lora.",),
    "trainer": ("training.", "optimization.", "early_stopping."),
}
_SECTIONS: Mapping[str, type[msgspec.Struct]] = {
    "model": ModelSection,
    "lora": LoraSection,
    "data": DataSection,
    "data.preprocessing": Preprocessing,
    "data.augmentation": Augmentation,
    "early_stopping": EarlyStopping,
    "budget": Budget,
    "subject": Subject,
}
_OPEN_SECTIONS = ("training", "optimization")
_ALIASES: Mapping[str, str] = {"model.dtype": "model.torch_dtype"}
_PATHS = (
    "model.cache_dir",
    "data.train_path",
    "data.val_path",
    "data.test_path",
    "data.cache_dir",
    "training.output_dir",
    "subject.path",
)
_ENABLING: Mapping[str, str] = {
    key: "data.augmentation.enabled" for key in EFFECTS if re.match(r"data\.augmentation\.\w+_range", key)
}


def load_config(path: Path) -> Config:
    """Read and validate one YAML file.

    Relative paths are taken from the YAML file's directory when they exist there, else from the working directory.
    Raises ConfigError for a file that cannot be read or parsed, or whose values have the wrong type.
    """
    path = Path(path).absolute()
    text = _read_text(path)
    try:
        document = yaml.safe_load(text)
        lines = dict(_find_lines(yaml.compose(text, Loader=yaml.SafeLoader)))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (None, None)
        raise ConfigError(path, _explain_yaml(error, text), line=line, column=column) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(path, f"this is not readable YAML ({error}); expected sections such as `model:`") from None
    if not isinstance(document, dict):
        seen = "an empty file" if document is None else f"a {type(document).__name__}"
        raise ConfigError(path, f"seen {seen}, expected a mapping of sections; begin with `model: {{base_model: DIR}}`")
    return build_config(document, source=path, lines=lines)


def build_config(document: Mapping[str, Any], *, source: Path, lines: Mapping[str, int] | None = None) -> Config:
    """Validate an already parsed document. `lines` maps dotted keys to their line in `source`, for messages."""
    lines = dict(lines or {})
    sections = {
        name: _open_mapping(document, name, source, lines)
        for name in {**_SECTIONS, **dict.fromkeys(_OPEN_SECTIONS)}
        if "." not in name
    }
    given, unknown, values = (
        [],
        [
            UnknownKey(path=str(key), nearest=_find_nearest(str(key)), line=lines.get(str(key)))
            for key in document
            if key not in sections
        ],
        {},
    )
    for path, value in _walk(sections, source, lines):
        if _is_known(path):
            given.append(path)
            values[path] = _clean(path, value, source)
        else:
            unknown.append(UnknownKey(path=path, nearest=_find_nearest(path), line=lines.get(path)))
    _require(values, source, lines)
    tree = _fold(values)
    tree["training"] = _merge_training(tree.get("training", {}), tree.get("optimization", {}))
    optimization = tree.get("optimization", {})
    tree["optimization"] = {"optimizer": optimization.get("optimizer"), "arguments": optimization}
    tree["subject"] = {"path": str(source.parent)} | tree.get("subject", {})
    tree |= {"source": str(source), "given": given, "lines": lines}
    try:
        config = msgspec.convert(tree, Config, strict=False, dec_hook=_decode_path)
    except msgspec.ValidationError as error:
        raise _explain_value(error, values, source, lines) from None
    return msgspec.structs.replace(config, unknown_keys=tuple(unknown))


def effective_keys(config: Config) -> frozenset[str]:
    """The known keys that change something here: those that only a part of ours reads fall away with that part."""
    training = {f"{section}.{name}" for section in _OPEN_SECTIONS for name in compat.training_argument_names()}
    given = {key for key in config.given if key.startswith(("training.", "optimization."))}
    lost = tuple(
        prefix for part, prefixes in _READ_ONLY_BY.items() if getattr(config.subject, part) for prefix in prefixes
    )
    return frozenset(key for key in {*EFFECTS, *training, *given} if not (lost and key.startswith(lost)))


def inert_keys(config: Config) -> tuple[InertKey, ...]:
    """The known keys given in the file that change nothing, each with the reason."""
    effective = effective_keys(config)
    return tuple(
        InertKey(path=key, reason=reason)
        for key in config.given
        if (reason := _explain_inert(key, key in effective, config)) is not None
    )


def _explain_inert(key: str, effective: bool, config: Config) -> str | None:
    if key in INERT:
        return INERT[key]
    if not effective:
        part = next(
            part
            for part, prefixes in _READ_ONLY_BY.items()
            if getattr(config.subject, part) and key.startswith(prefixes)
        )
        return f"`subject.{part}` replaces the part of ours that reads it"
    if key in _ENABLING and not config.data.augmentation.enabled:
        return "`data.augmentation.enabled` is not true"
    if key == "data.cache_gb" and config.data.cache_dir is None:
        return "`data.cache_dir` is not given"
    if key.startswith("optimization.") and f"training.{_training_name(key)}" in config.given:
        return f"`training.{_training_name(key)}` is given too and wins"
    return None


def _training_name(key: str) -> str:
    name = key.partition(".")[2]
    return "optim" if name == "optimizer" else name


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(path, "there is no such file; give the path of a YAML file") from None
    except IsADirectoryError:
        raise ConfigError(path, "this is a directory; give the path of a YAML file in it") from None
    except UnicodeDecodeError as error:
        raise ConfigError(path, f"byte {error.start} is not UTF-8; save the file as UTF-8") from None
    except OSError as error:
        raise ConfigError(path, f"cannot be read: {error.strerror}") from None


def _explain_yaml(error: yaml.MarkedYAMLError, text: str) -> str:
    problem = (error.problem or "this is not YAML").strip()
    if "escape" in problem:
        advice = "a backslash starts an escape inside double quotes: use single quotes or forward slashes"
    elif "\\t" in problem or "\t" in problem:
        advice = "YAML forbids tabs for indentation: use spaces"
    else:
        advice = "check indentation, quotes, brackets and colons on this line and the one before"
    mark = error.problem_mark
    lines = text.splitlines()
    seen = f" in `{lines[mark.line].strip()}`" if mark and mark.line < len(lines) and lines[mark.line].strip() else ""
    return f"broken YAML: {problem}{seen}; {advice}"


def _find_lines(node: yaml.Node | None, prefix: str = "") -> Iterator[tuple[str, int]]:
    """Dotted key -> line, counted from 1, as deep as sections go."""
    if isinstance(node, yaml.MappingNode) and prefix.count(".") < 3:
        for key, value in node.value:
            path = f"{prefix}{key.value}"
            yield path, key.start_mark.line + 1
            yield from _find_lines(value, f"{path}.")


def _open_mapping(parent: Mapping[str, Any], name: str, source: Path, lines: Mapping[str, int]) -> Mapping[str, Any]:
    section = parent.get(name.rpartition(".")[2])
    if section is None:
        return {}
    if not isinstance(section, dict):
        message = f"`{name}` is {section!r}, expected a mapping; write its keys below it, indented"
        raise ConfigError(source, message, line=lines.get(name))
    return section


def _walk(
    sections: Mapping[str, Mapping[str, Any]], source: Path, lines: Mapping[str, int]
) -> Iterator[tuple[str, Any]]:
    for name, section in sections.items():
        for key, value in section.items():
            path = f"{name}.{key}"
            if path in _SECTIONS:
                yield from _walk({path: _open_mapping(section, path, source, lines)}, source, lines)
            else:
                yield path, value


def _is_known(path: str) -> bool:
    section, _, name = path.partition(".")
    if path in EFFECTS or path in INERT or path in _ALIASES:
        return True
    return section in _OPEN_SECTIONS and compat.is_training_argument(name)


def _find_nearest(path: str) -> str | None:
    """Look among the key's own neighbours first, then among the last parts of all keys."""
    known = [
        *EFFECTS,
        *INERT,
        *_SECTIONS,
        *_OPEN_SECTIONS,
        *(f"training.{name}" for name in compat.training_argument_names()),
    ]
    section, _, name = path.rpartition(".")
    neighbours = [key.rpartition(".")[2] for key in known if key.rpartition(".")[0] == section]
    if close := difflib.get_close_matches(name, neighbours, n=1, cutoff=0.6):
        return f"{section}.{close[0]}".lstrip(".")
    leaves = {key.rpartition(".")[2]: key for key in reversed(known)}
    close = difflib.get_close_matches(name, leaves, n=1, cutoff=0.8)
    return leaves[close[0]] if close else None


def _clean(path: str, value: Any, source: Path) -> Any:
    """Undo what YAML 1.1 and Python habits do to scalars: `3e-4` is text there, `None` is a word."""
    if value == "None":
        return "none" if path in ("lora.bias", "training.report_to") else None
    if (
        isinstance(value, str)
        and path.startswith(("training.", "optimization."))
        and _SCIENTIFIC.fullmatch(value.strip())
    ):
        return float(value)
    if path in _PATHS and isinstance(value, str):
        return str(_locate(value, source.parent))
    if path == "model.base_model" and isinstance(value, str):
        found = _locate(value, source.parent)
        return str(found) if found.exists() else value
    return value


def _locate(text: str, directory: Path) -> Path:
    path = Path(text).expanduser()
    beside = directory / path
    return beside if beside.exists() else Path.cwd() / path


def _require(values: Mapping[str, Any], source: Path, lines: Mapping[str, int]) -> None:
    if not values.get("model.base_model"):
        message = (
            "`model.base_model` is missing; write the model directory or the hub id, as in `model: {base_model: DIR}`"
        )
        raise ConfigError(source, message, line=lines.get("model"))
    for part in ("model", "collator", "peft", "trainer"):
        value = values.get(f"subject.{part}")
        if value is not None and not (isinstance(value, str) and _PART.fullmatch(value)):
            message = f'`subject.{part}` is {value!r}, expected "package.module:function"'
            raise ConfigError(source, message, line=lines.get(f"subject.{part}"))


def _fold(values: Mapping[str, Any]) -> dict[str, Any]:
    """{"a.b.c": 1} -> {"a": {"b": {"c": 1}}}. A null leaves the default in place, except where null is a choice."""
    tree: dict[str, Any] = {}
    for path, value in values.items():
        if value is None and path != "lora.task_type" and not path.startswith(_OPEN_SECTIONS):
            continue
        *sections, leaf = _ALIASES.get(path, path).split(".")
        branch = tree
        for section in sections:
            branch = branch.setdefault(section, {})
        branch[leaf] = value
    return tree


def _merge_training(training: Mapping[str, Any], optimization: Mapping[str, Any]) -> dict[str, Any]:
    renamed = {"optim" if name == "optimizer" else name: value for name, value in optimization.items()}
    arguments = {name: value for name, value in {**renamed, **training}.items() if value is not None}
    typed = {compat.modern_name(name): value for name, value in arguments.items()}
    fields = set(TrainingSection.__struct_fields__) - {"arguments"}
    interpreted = {name: value for name, value in typed.items() if name in fields}
    return {**interpreted, "arguments": arguments}


def _decode_path(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise msgspec.ValidationError(f"Expected `path`, got `{type(value).__name__}`")


def _explain_value(
    error: msgspec.ValidationError, values: Mapping[str, Any], source: Path, lines: Mapping[str, int]
) -> ConfigError:
    problem, _, place = str(error).partition(" - at `$.")
    path = re.sub(r"\[.*", "", place.rstrip("`"))
    names = [key for key in values if compat.modern_name(_training_name(key)) == path.partition(".")[2]] or [path]
    path = path if path in values else names[0]
    missing = "" if path not in values else f" is {values[path]!r}"
    advice = problem.replace("Expected", "expected").replace("Object missing required field", "lacks the key")
    return ConfigError(source, f"`{path}`{missing}: {advice}; correct the value of `{path}`", line=lines.get(path))
