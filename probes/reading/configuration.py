"""What the YAML file asks for, worked out: optimizer steps, warm-up, keys without effect, checkpoints already there."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preflight_ocr.harness.config import compat
from preflight_ocr.harness.config.keys import effective_keys, inert_keys
from preflight_ocr.harness.facts import Checkpoint, Configuration, KeyFact, Unknown
from preflight_ocr.harness.launched import count_processes
from preflight_ocr.probes.reading.dataset import count_rows
from preflight_ocr.probes.reading.exports import Exports
from preflight_ocr.probes.reading.json_files import get_text, get_whole, read_object
from preflight_ocr.probes.reading.run_values import find_lacking, find_refused
from preflight_ocr.probes.reading.subject import find_parts, read_part

if TYPE_CHECKING:
    from preflight_ocr.harness.config.schema import Config

_GIBIBYTE = 2**30
# Fields that `compat.fit_training_arguments` gives another form, so that they work although the field itself is gone.
_REFORMED = ("warmup_ratio", "group_by_length", "train_sampling_strategy", "logging_dir", "save_safetensors")
_OUR_BUILDERS = "preflight_ocr.harness.training"  # a part that hands the configuration on to ours reads what ours reads
_WHOLE_SECTION = ("asdict", "__struct_fields__", "to_builtins", "__dict__")


def look_at_configuration(config: Config, exports: Exports) -> Configuration:
    """The file's own view of the run, before anything is loaded. Steps are optimizer steps."""
    training = config.training
    total = count_steps(config)
    known = total if isinstance(total, int) else 0
    kwargs = training.gradient_checkpointing_kwargs or {}
    targets = config.lora.target_modules
    return Configuration(
        source=str(config.source),
        unknown_keys=tuple(
            KeyFact(path=key.path, nearest=key.nearest, detail=f"line {key.line}" if key.line else "")
            for key in config.unknown_keys
        ),
        ineffective_keys=(*_find_ineffective(config), *_find_departed(config, exports)),
        base_model=config.model.base_model,
        is_local=not config.model.is_hub_id,
        revision=config.model.revision,
        trust_remote_code=config.model.trust_remote_code,
        torch_dtype=config.model.torch_dtype,
        attn_implementation=config.model.attn_implementation,
        device_map=_name_devices(config.model.device_map),
        use_cpu=training.use_cpu,
        fp16=training.fp16,
        bf16=training.bf16,
        gradient_checkpointing=training.gradient_checkpointing,
        use_reentrant=kwargs.get("use_reentrant") if isinstance(kwargs.get("use_reentrant"), bool) else None,
        task_type=config.lora.task_type,
        target_modules=targets if isinstance(targets, str) else tuple(targets or ()),
        lora_r=config.lora.r,
        batch_size=training.per_device_train_batch_size,
        accumulation_steps=training.gradient_accumulation_steps,
        total_steps=total,
        warmup_steps=count_warmup(config, known),
        save_strategy=training.save_strategy,
        save_steps=_whole_steps(training.save_steps, known),
        eval_strategy=training.eval_strategy,
        eval_steps=_count_eval_steps(config, known),
        load_best_model_at_end=training.load_best_model_at_end,
        early_stopping=config.early_stopping is not None,
        remove_unused_columns=training.remove_unused_columns is True,
        dataloader_workers=training.dataloader_num_workers,
        pins_memory=training.arguments.get("dataloader_pin_memory") is not False,
        max_seq_length=config.data.max_seq_length,
        budget_bytes=round(config.budget.vram_gb * _GIBIBYTE) if config.budget.vram_gb is not None else None,
        output_dir=str(training.output_dir),
        checkpoints=tuple(find_checkpoints(training.output_dir)),
        world_size=count_processes(),
        refused_values=tuple(find_refused(config, exports)),
        lacking_packages=tuple(find_lacking(config, exports)),
        replaced_parts=tuple(find_parts(config)),
    )


def find_checkpoints(output_dir: Path) -> Iterator[Checkpoint]:
    """The `checkpoint-N` folders in `output_dir`, by step, and what their JSON files say they belong to."""
    try:
        folders = [path for path in output_dir.glob("checkpoint-*") if path.is_dir()]
    except OSError:
        return
    for folder in sorted(folders, key=lambda path: (len(path.name), path.name)):
        adapter = read_object(folder / "adapter_config.json")
        state = read_object(folder / "trainer_state.json")
        if adapter is None and state is None:
            continue
        values = adapter if isinstance(adapter, dict) else {}
        targets = values.get("target_modules")
        listed = [targets] if isinstance(targets, str) else targets if isinstance(targets, list) else []
        yield Checkpoint(
            path=str(folder),
            base_model=get_text(values, "base_model_name_or_path"),
            peft_type=get_text(values, "peft_type"),
            r=get_whole(values, "r"),
            target_modules=tuple(sorted(target for target in listed if isinstance(target, str))),
        )


def count_steps(config: Config) -> int | Unknown:
    """As Trainer counts: an epoch's last, incomplete accumulation makes a step of its own."""
    training = config.training
    if training.max_steps > 0:
        return training.max_steps
    if config.data.train_path is None:
        return Unknown(reason=f"{config.source}: no `data.train_path`, so the number of steps is not known")
    rows = count_rows(config.data.train_path)
    if isinstance(rows, Unknown):
        return rows
    batch = training.per_device_train_batch_size * count_processes()
    if batch < 1 or training.gradient_accumulation_steps < 1:
        return Unknown(reason="the batch size and gradient_accumulation_steps have to be 1 or more")
    drops = training.arguments.get("dataloader_drop_last") is True
    batches = rows // batch if drops else math.ceil(rows / batch)
    per_epoch = max(1, math.ceil(batches / training.gradient_accumulation_steps))
    return math.ceil(training.num_train_epochs * per_epoch)


def count_warmup(config: Config, total: int) -> int:
    """Steps, a fraction of the run in `warmup_steps`, or `warmup_ratio`: the first that is given."""
    training = config.training
    return _whole_steps(training.warmup_steps, total) or math.ceil(training.warmup_ratio * total)


def _count_eval_steps(config: Config, total: int) -> int | None:
    """Without `eval_steps`, Trainer evaluates every `logging_steps`."""
    training = config.training
    if training.eval_steps is not None:
        return _whole_steps(training.eval_steps, total)
    return _whole_steps(training.logging_steps, total) if training.eval_strategy == "steps" else None


def _whole_steps(steps: float, total: int) -> int:
    """Trainer takes a number below 1 for a fraction of the run."""
    return math.ceil(steps * total) if 0 < steps < 1 else int(steps)


def _name_devices(device_map: str | dict[str, Any] | None) -> str | None:
    """The strategy's name, or the devices that a written-out map spreads the model over: "cpu, cuda:0"."""
    if device_map is None or isinstance(device_map, str):
        return device_map
    devices = {f"cuda:{device}" if isinstance(device, int) else str(device) for device in device_map.values()}
    return ", ".join(sorted(devices))


def _find_ineffective(config: Config) -> Iterator[KeyFact]:
    """Keys that change nothing. One that a part of ours would read still counts when the user's own part reads it."""
    effective = effective_keys(config)
    mentioned: frozenset[str] | None = None
    for key in inert_keys(config):
        if key.path not in effective and find_parts(config):
            mentioned = _find_mentions(config) if mentioned is None else mentioned
            if _is_mentioned(key.path, mentioned):
                continue
        line = config.lines.get(key.path)
        yield KeyFact(path=key.path, detail=f"{key.reason} (line {line})" if line else key.reason, nearest=None)


def _is_mentioned(path: str, names: frozenset[str]) -> bool:
    """Whether `section.key` may be read: both words have to stand in the source, or the section is read as a whole."""
    if _OUR_BUILDERS in names:
        return True
    *_, section, leaf = path.split(".")
    # What `optimization` says is merged into `training`, so it can be read there as well.
    sections = {section, "training"} if section == "optimization" else {section}
    leaves = {leaf, compat.modern_name(leaf), "arguments", *_WHOLE_SECTION}
    return bool(sections & names) and bool(leaves & names)


def _find_mentions(config: Config) -> frozenset[str]:
    """Every attribute and every string that is one word, in the source of the user's parts."""
    names: set[str] = set()
    for target in find_parts(config).values():
        sources = read_part(config, target)
        for source in () if isinstance(sources, Unknown) else sources:
            for node, _ in source.nodes:
                if _takes_our_builder(node):
                    names.add(_OUR_BUILDERS)
                if isinstance(node, ast.Attribute):
                    names.add(node.attr)
                elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
                    names.add(node.value)
    return frozenset(names)


def _takes_our_builder(node: ast.AST) -> bool:
    """Whether this takes a collator of ours, which reads the keys: `preflight_ocr.build_collator`, however spelled."""
    if isinstance(node, ast.ImportFrom):
        module = node.module or ""
        public = module == "preflight_ocr" and any(alias.name == "build_collator" for alias in node.names)
        return public or module.startswith(_OUR_BUILDERS)
    return isinstance(node, ast.Attribute) and ast.unparse(node) == "preflight_ocr.build_collator"


def _find_departed(config: Config, exports: Exports) -> Iterator[KeyFact]:
    """TrainingArguments fields of another release, which the installed one would refuse."""
    parameters = exports.find_parameters("transformers", "TrainingArguments")
    if parameters is None or parameters.open or config.subject.trainer:
        return
    asked = {name: value for name, value in config.training.arguments.items() if name not in _REFORMED}
    _, unused = compat.fit_keywords(asked, parameters.names, compat.RENAMED_ARGUMENTS)
    for name in unused:
        paths = [p for p in (f"training.{name}", f"optimization.{name}") if p in config.given]
        detail = "the installed transformers has no such TrainingArguments field"
        yield KeyFact(path=paths[0] if paths else f"training.{name}", detail=detail, nearest=None)
