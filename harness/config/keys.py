"""The known keys: what each does, which change nothing in this file's setting, and the nearest one to a misspelt one."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

import msgspec

from preflight_ocr.harness.config import compat
from preflight_ocr.harness.config.schema import (
    Augmentation,
    Budget,
    Config,
    DataSection,
    EarlyStopping,
    EvaluationSection,
    InertKey,
    LoraSection,
    ModelSection,
    Preprocessing,
    Quantization,
    Subject,
)

EFFECTS: Mapping[str, str] = {
    "model.base_model": "names the model directory, or the hub repository, that is checked and trained",
    "model.revision": "pins the commit of a hub repository",
    "model.cache_dir": "says where downloaded model files are kept",
    "model.torch_dtype": "is the dtype the weights are loaded in",
    "model.attn_implementation": "chooses the attention implementation at load",
    "model.device_map": "places the weights at load on a machine with an accelerator",
    "model.trust_remote_code": "allows the model repository's own Python code to run",
    "model.quantization.load_in_4bit": "packs linear layers' weights in 4 bits, and prepares the model as QLoRA needs it",
    "model.quantization.load_in_8bit": "packs them in 8 bits",
    "model.quantization.bnb_4bit_quant_type": "is the form of the 4-bit numbers",
    "model.quantization.bnb_4bit_use_double_quant": "packs the scales of the 4-bit numbers too",
    "model.quantization.bnb_4bit_compute_dtype": "is the dtype that 4-bit layers compute in, float32 without it",
    "model.quantization.bnb_4bit_quant_storage": "is the dtype that packed weights are kept in, uint8 without it; FSDP "
    "needs that of the other weights",
    "model.quantization.llm_int8_threshold": "is the size from which an input is kept out of the 8-bit product",
    "model.quantization.llm_int8_skip_modules": "names modules that are not packed, in 4 bits either; without it, what "
    "transformers chooses: the output head",
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
    "data.train_path": "is the file or folder of the rows trained on, or the id of a dataset in the Hub's cache",
    "data.val_path": "is the file or folder of the rows evaluated on",
    "data.test_path": "is the file or folder of the rows that are only scored at the end",
    "data.max_seq_length": "is the longest sequence in tokens; the target text is cut, the image never",
    "data.prompt": "replaces the family's prompt, and what the rows ask",
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
    "evaluation.normalise": "lists what is done to true and read text before they are compared, in this order: nfc, nfkc, "
    "casefold, whitespace (each run of it is one space, none at the ends); without it nothing is",
    "evaluation.sample": "is how many rows of data.val_path are read before the first step, at each evaluation and with "
    "the weights that are saved, for eval_cer and eval_wer; 64 where training.metric_for_best_model is one of them, else "
    "none",
    "evaluation.max_new_tokens": "is the most tokens that are read of a page when reading is measured, twice the longest "
    "true text without it",
    "budget.vram_gb": "is the memory of the card that the predicted peak is held against",
    "subject.path": "is put on sys.path before the user's parts are imported",
    "subject.model": "loads the model in place of our loader",
    "subject.collator": "builds the collator in place of ours",
    "subject.peft": "adds the adapter in place of our step",
    "subject.trainer": "builds the trainer in place of ours; one with a collator or rows of its own is judged on them, and "
    "needs no data.train_path",
    "subject.dataset": "gives the rows in place of data.train_path and data.val_path, as your code yields them: a function "
    "of the configuration that returns the training rows, or a pair with those to evaluate on",
    "subject.environment": "lists the environment variables with a secret (`HF_TOKEN`, `*_KEY`) that foreign code gets in a "
    "check; without it none does",
}
"""Every dotted key that does something, with what it does. `training.*` adds every TrainingArguments name."""


INERT: Mapping[str, str] = {
    "data.preprocessing.resize": "the model's tiling and padding decide the size; a free resize would squash the page",
}
"""Keys that people write and that change nothing, with the reason."""


_READ_ONLY_BY: Mapping[str, tuple[str, ...]] = {
    "model": ("model.torch_dtype", "model.attn_implementation", "model.device_map", "model.quantization."),
    "collator": (
        # data.prompt and data.preprocessing stay: the user's batch is held against what they say.
        "data.max_seq_length",
        "data.test_path",
        "data.cache_",
        "data.augmentation.",
    ),
    "peft": ("lora.",),
    "trainer": ("training.", "optimization.", "early_stopping."),
    "dataset": ("data.train_path", "data.val_path"),
}


SECTIONS: Mapping[str, type[msgspec.Struct]] = {
    "model": ModelSection,
    "model.quantization": Quantization,
    "lora": LoraSection,
    "data": DataSection,
    "data.preprocessing": Preprocessing,
    "data.augmentation": Augmentation,
    "early_stopping": EarlyStopping,
    "evaluation": EvaluationSection,
    "budget": Budget,
    "subject": Subject,
}


OPEN_SECTIONS = ("training", "optimization")


ALIASES: Mapping[str, str] = {"model.dtype": "model.torch_dtype"}


ROWS = ("data.train_path", "data.val_path", "data.test_path")
"""The keys whose value may also be the id of a dataset that lies in the Hub's cache."""


PATHS = (
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


def effective_keys(config: Config) -> frozenset[str]:
    """The known keys that change something here: those that only a part of ours reads fall away with that part."""
    training = {f"{section}.{name}" for section in OPEN_SECTIONS for name in compat.training_argument_names()}
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
    if key.startswith("model.quantization.") and not _is_quantised(config):
        return "neither `load_in_4bit` nor `load_in_8bit` is true"
    if key == "data.cache_gb" and config.data.cache_dir is None:
        return "`data.cache_dir` is not given"
    if key.startswith("optimization.") and f"training.{training_name(key)}" in config.given:
        return f"`training.{training_name(key)}` is given too and wins"
    return None


def _is_quantised(config: Config) -> bool:
    section = config.model.quantization
    return section is not None and (section.load_in_4bit or section.load_in_8bit)


def training_name(key: str) -> str:
    name = key.partition(".")[2]
    return "optim" if name == "optimizer" else name


def is_known(path: str) -> bool:
    section, _, name = path.partition(".")
    if path in EFFECTS or path in INERT or path in ALIASES:
        return True
    return section in OPEN_SECTIONS and compat.is_training_argument(name)


def find_nearest(path: str) -> str | None:
    """Look among the key's own neighbours first, then among the last parts of all keys."""
    known = [
        *EFFECTS,
        *INERT,
        *SECTIONS,
        *OPEN_SECTIONS,
        *(f"training.{name}" for name in compat.training_argument_names()),
    ]
    section, _, name = path.rpartition(".")
    neighbours = [key.rpartition(".")[2] for key in known if key.rpartition(".")[0] == section]
    # Below 0.7 two words share an ending more often than a meaning: quantization and optimization, 0.67.
    alike = difflib.get_close_matches(name, neighbours, n=1, cutoff=0.7)
    if close := alike or difflib.get_close_matches(
        name, [key for key in neighbours if name in key or key in name], n=1, cutoff=0.6
    ):
        return f"{section}.{close[0]}".lstrip(".")
    leaves = {key.rpartition(".")[2]: key for key in reversed(known)}
    close = difflib.get_close_matches(name, leaves, n=1, cutoff=0.8)
    return leaves[close[0]] if close else None
