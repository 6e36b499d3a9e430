"""The only place where our own code asks which library it has before it.

Names are resolved by what the installed signature accepts, never by a version number where a signature can answer.
Importing this module imports neither torch nor transformers nor peft.
"""

from __future__ import annotations

import functools
import importlib.util
import inspect
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

RENAMED_ARGUMENTS: tuple[tuple[str, str], ...] = (
    ("evaluation_strategy", "eval_strategy"),
    ("no_cuda", "use_cpu"),
    ("per_gpu_train_batch_size", "per_device_train_batch_size"),
    ("per_gpu_eval_batch_size", "per_device_eval_batch_size"),
    ("push_to_hub_token", "hub_token"),
    ("gradient_checkpointing", "activation_checkpointing"),
    ("gradient_checkpointing_kwargs", "activation_checkpointing_kwargs"),
)
"""(old, new) names of one TrainingArguments field. A pair can go when no supported transformers knows its old name."""

RENAMED_KEYWORDS: tuple[tuple[str, str], ...] = (("tokenizer", "processing_class"),)
"""(old, new) names of the same Trainer keyword. Can go with transformers 4.45."""

AUTO_CLASSES = ("AutoModelForImageTextToText", "AutoModelForVision2Seq", "AutoModelForCausalLM", "AutoModel")
"""The Auto classes that load a model, the likeliest first. The second can go with the last release that has it."""

_FIELDS = """
accelerator_config activation_checkpointing activation_checkpointing_kwargs adafactor adam_beta1 adam_beta2
adam_epsilon auto_find_batch_size average_tokens_across_devices batch_eval_metrics bf16 bf16_full_eval data_seed
dataloader_drop_last dataloader_in_order dataloader_multiprocessing_context dataloader_num_workers
dataloader_persistent_workers dataloader_pin_memory dataloader_prefetch_factor ddp_backend ddp_broadcast_buffers
ddp_bucket_cap_mb ddp_find_unused_parameters ddp_static_graph ddp_timeout debug deepspeed disable_tqdm
dispatch_batches do_eval do_predict do_train enable_jit_checkpoint eval_accumulation_steps eval_delay
eval_do_concat_batches eval_on_start eval_steps eval_strategy eval_use_gather_object evaluation_strategy fp16
fp16_backend fp16_full_eval fp16_opt_level fsdp fsdp_config fsdp_min_num_params fsdp_transformer_layer_cls_to_wrap
full_determinism gradient_accumulation_steps gradient_checkpointing gradient_checkpointing_kwargs greater_is_better
group_by_length half_precision_backend hub_always_push hub_model_id hub_private_repo hub_revision hub_strategy
hub_token ignore_data_skip include_for_metrics include_inputs_for_metrics include_num_input_tokens_seen
include_tokens_per_second jit_mode_eval label_names label_smoothing_factor learning_rate length_column_name
liger_kernel_config load_best_model_at_end local_rank log_level log_level_replica log_on_each_node logging_dir
logging_first_step logging_nan_inf_filter logging_steps logging_strategy lr_scheduler_kwargs lr_scheduler_type
max_grad_norm max_steps metric_for_best_model mp_parameters neftune_noise_alpha no_cuda num_train_epochs optim
optim_args optim_target_modules output_dir overwrite_output_dir parallelism_config past_index
per_device_eval_batch_size per_device_train_batch_size per_gpu_eval_batch_size per_gpu_train_batch_size
prediction_loss_only project push_to_hub push_to_hub_model_id push_to_hub_organization push_to_hub_token ray_scope
remove_unused_columns report_to restore_callback_states_from_checkpoint resume_from_checkpoint run_name
save_on_each_node save_only_model save_safetensors save_steps save_strategy save_total_limit seed skip_memory_metrics
split_batches tf32 torch_compile torch_compile_backend torch_compile_mode torch_empty_cache_steps torchdynamo
tpu_metrics_debug tpu_num_cores trackio_bucket_id trackio_space_id trackio_static_space_id train_sampling_strategy
use_cache use_cpu use_ipex use_legacy_prediction_loop use_liger_kernel use_mps_device warmup_ratio warmup_steps
weight_decay
"""
TRAINING_ARGUMENTS: frozenset[str] = frozenset(_FIELDS.split())
"""Every TrainingArguments field of transformers 4.46.3 to 5.23.0; a test holds it against the installed signature."""


def training_argument_names() -> frozenset[str]:
    return TRAINING_ARGUMENTS


def is_training_argument(name: str) -> bool:
    """Whether any supported transformers, or the installed one, has this TrainingArguments field."""
    return name in TRAINING_ARGUMENTS or name in _installed_argument_names()


def modern_name(name: str) -> str:
    """The name under which `harness/config/config` reads a TrainingArguments field, whichever name the file uses."""
    if name.startswith("activation_checkpointing"):
        return name.replace("activation", "gradient", 1)
    if name.startswith("gradient_checkpointing"):
        return name
    return dict(RENAMED_ARGUMENTS).get(name, name)


@functools.cache
def _installed_argument_names() -> frozenset[str]:
    """Read the installed transformers' field names from its source, which costs no import."""
    spec = importlib.util.find_spec("transformers")
    if spec is None or spec.origin is None:
        return frozenset()
    source = Path(spec.origin).with_name("training_args.py")
    if not source.is_file():
        return frozenset()
    return frozenset(re.findall(r"^    (\w+): .* = field\($", source.read_text(encoding="utf-8"), flags=re.MULTILINE))


def accepted_names(function: Callable[..., Any]) -> frozenset[str]:
    """The keyword names a callable's signature accepts, without `self`, `*args` and `**kwargs`."""
    parameters = inspect.signature(function).parameters.values()
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return frozenset(parameter.name for parameter in parameters if parameter.kind not in variadic) - {"self"}


def fit_keywords(
    keywords: Mapping[str, Any],
    accepted: Collection[str],
    renamed: tuple[tuple[str, str], ...] = (),
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Rename what the signature knows under its other name. Returns (accepted keywords, names without a place)."""
    newer, older = dict(renamed), {new: old for old, new in renamed}
    fitted: dict[str, Any] = {}
    unused = []
    for name, value in keywords.items():
        candidates = (newer.get(name), name, older.get(name))
        target = next((candidate for candidate in candidates if candidate in accepted), None)
        if target is None:
            unused.append(name)
        elif target == name or target not in keywords:
            fitted[target] = value
    return fitted, tuple(unused)


def fit_training_arguments(
    arguments: Mapping[str, Any], accepted: Collection[str]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Give TrainingArguments fields the names and the forms that the installed class accepts.

    Returns (accepted arguments, names without a place): nothing is dropped in silence. Three fields changed their form:
    `warmup_ratio` became a fraction in `warmup_steps`, `group_by_length` a `train_sampling_strategy`, and `logging_dir`
    an environment variable, which is set here.
    """
    values = dict(arguments)
    if "warmup_ratio" in values and "warmup_ratio" not in accepted:
        ratio = values.pop("warmup_ratio")
        if not values.get("warmup_steps"):
            values["warmup_steps"] = float(ratio)
    if "warmup_ratio" in accepted and 0 < float(values.get("warmup_steps") or 0) < 1:
        values["warmup_ratio"] = values.pop("warmup_steps")
    if "train_sampling_strategy" in accepted and values.pop("group_by_length", False):
        values.setdefault("train_sampling_strategy", "group_by_length")
    if values.get("train_sampling_strategy") == "group_by_length" and "group_by_length" in accepted:
        values["group_by_length"] = values.pop("train_sampling_strategy") == "group_by_length"
    if "logging_dir" in values and "logging_dir" not in accepted:
        os.environ["TENSORBOARD_LOGGING_DIR"] = str(values.pop("logging_dir"))
    if values.get("save_safetensors") is True and "save_safetensors" not in accepted:
        del values["save_safetensors"]  # safetensors is the only format there
    return fit_keywords(values, accepted, RENAMED_ARGUMENTS)


def dtype_keyword() -> str:
    """The keyword under which `from_pretrained` takes the dtype. Can go when transformers 4.56 is the oldest."""
    from transformers import PretrainedConfig

    return "dtype" if hasattr(PretrainedConfig(), "dtype") else "torch_dtype"


@contextmanager
def allow_rng_state() -> Iterator[None]:
    """Let a Trainer that does not do so itself read the NumPy state in its own checkpoints with `weights_only` loading.

    Can go when transformers 4.47 is the oldest.
    """
    import numpy
    import torch

    if not hasattr(torch.serialization, "safe_globals"):  # torch 2.4 still loads it by default
        yield
        return
    reconstruct = numpy.zeros(0).__reduce__()[0]
    needed: list[Any] = [reconstruct, numpy.ndarray, numpy.dtype, type(numpy.dtype(numpy.uint32))]
    with torch.serialization.safe_globals(needed):
        yield


def builds_without_memory(transformers: str) -> bool:
    """Whether this release's `from_pretrained` builds a model on the meta device whatever it is asked for.

    Read from the release notes of version 5 and seen with 5.0.0 and 5.23.0. Can go with transformers 4.
    """
    return int(transformers.partition(".")[0]) >= 5


def loads_in_own_dtype(transformers: str) -> bool:
    """Whether this release's `from_pretrained` takes the dtype that the model's files name where none is asked for; float32
    before. Read from the release notes of version 5. Can go with transformers 4."""
    return int(transformers.partition(".")[0]) >= 5
