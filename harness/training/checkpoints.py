"""Which checkpoint a run goes on from: the newest that is whole, and of the same run."""

from __future__ import annotations

import logging
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

import msgspec

from preflight_ocr.harness.config.errors import UserError
from preflight_ocr.harness.config.schema import Config
from preflight_ocr.harness.foreign.files import is_folder, open_file
from preflight_ocr.harness.foreign.json_text import BrokenJson, read_json

LOG = logging.getLogger("preflight_ocr.harness.training")

_STATE = "trainer_state.json"
_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin", "model.safetensors", "pytorch_model.bin")
_INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_ZIPPED = (".pt", ".pth", ".bin")
_LARGEST_HEADER = 100 * 2**20


class CheckpointError(UserError):
    """The checkpoint asked for is not there, is damaged, or belongs to another run."""


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What a checkpoint says about how far its run had come."""

    step: int
    max_steps: int
    epochs: float


def choose(config: Config) -> Path | None:
    """The checkpoint that `training.resume_from_checkpoint` means.

    A path means that checkpoint; true (or "latest") the newest whole one below `output_dir` with the same base model and
    adapter shape, and a fresh start where there is none; what is passed over is said. Raises CheckpointError for a path
    that is missing, damaged or does not match.
    """
    asked = config.training.resume_from_checkpoint
    if asked is None or asked is False or str(asked).lower() in ("false", "no", ""):
        return None
    if asked is True or str(asked).lower() in ("true", "yes", "latest", "last"):
        return _choose_newest(config)
    path = next(
        (one for one in (config.source.parent / str(asked), Path(str(asked)).absolute()) if is_folder(one)), None
    )
    if path is None:
        raise CheckpointError(
            f"resume_from_checkpoint is {asked}, but there is no such directory; write true for the newest"
        )
    if (damage := explain_damage(path, config)) is not None:
        raise CheckpointError(
            f"{path} is not whole: {damage}; choose another checkpoint, or write true for the newest whole one"
        )
    if (mismatch := explain_mismatch(path, config)) is not None:
        raise CheckpointError(
            f"{path} belongs to another run: {mismatch}; choose another checkpoint or another output_dir"
        )
    return path


def _choose_newest(config: Config) -> Path | None:
    passed = False
    for path in list_newest_first(config.training.output_dir):
        if (damage := explain_damage(path, config)) is not None:
            LOG.warning("%s is not whole (%s), so the run does not go on from it", path, damage)
        elif (mismatch := explain_mismatch(path, config)) is not None:
            LOG.warning("%s belongs to another run (%s), so the run does not go on from it", path, mismatch)
        else:
            if passed:
                LOG.warning("going on from %s, the newest checkpoint that is whole and of this run", path)
            return path
        passed = True
    if passed:
        LOG.warning("no checkpoint in %s can be gone on from: training begins anew", config.training.output_dir)
    return None


def list_newest_first(output_dir: Path) -> list[Path]:
    """The checkpoint folders below `output_dir`, whole or not."""
    numbered = [
        (int(match[1]), path)
        for path in output_dir.glob("checkpoint-*")
        if (match := re.fullmatch(r"checkpoint-(\d{1,18})", path.name)) and path.is_dir()
    ]
    return [path for _, path in sorted(numbered, reverse=True)]


def explain_damage(checkpoint: Path, config: Config) -> str | None:
    """Which file of a checkpoint is missing or cannot be what was written; None for a whole one.

    Every file that is there is held against what it says about itself; what Trainer needs to go on as if nothing had
    happened has to be there: weights, optimizer, scheduler, random state and its own state.
    """
    try:
        files = sorted(path for path in checkpoint.iterdir() if path.is_file())
        read_state(checkpoint)
        if (missing := _find_missing(checkpoint, {path.name for path in checkpoint.iterdir()}, config)) is not None:
            return missing
        return next((damage for path in files if (damage := _examine(path)) is not None), None)
    except BrokenJson as error:
        return str(error)
    except OSError as error:
        return f"{error.filename or checkpoint} cannot be read: {error.strerror}"


def read_state(checkpoint: Path) -> State:
    """How far the run had come. Raises OSError and BrokenJson."""
    path = checkpoint / _STATE
    document = read_json(path)
    values: dict[str, Any] = document if isinstance(document, dict) else {}
    numbers = [values.get(name) for name in ("global_step", "max_steps", "num_train_epochs")]
    step, max_steps, epochs = (n if isinstance(n, int | float) and abs(n) < 2**53 else None for n in numbers)
    if not isinstance(step, int) or step < 0:
        raise BrokenJson(f"{path}: global_step is {step!r}, expected a number of steps")
    return State(step=step, max_steps=int(max_steps or 0), epochs=float(epochs or 0))


def is_finished(checkpoint: Path, config: Config) -> bool:
    """Whether the run that left this checkpoint had done every step that the configuration asks for."""
    state = read_state(checkpoint)
    if config.training.max_steps > 0:
        return state.step >= config.training.max_steps
    return 0 < state.max_steps <= state.step and state.epochs >= config.training.num_train_epochs


def explain_mismatch(checkpoint: Path, config: Config) -> str | None:
    """What differs between the checkpoint's adapter and the configured one, or None."""
    file = checkpoint / "adapter_config.json"
    if config.subject.peft is not None or not file.is_file():
        return None
    try:
        document = read_json(file)
    except (BrokenJson, OSError) as error:
        return str(error)
    saved: dict[str, Any] = document if isinstance(document, dict) else {}
    base = saved.get("base_model_name_or_path")
    if config.subject.model is None and base and Path(str(base)) != Path(config.model.base_model):
        return f"its base model is {base}, configured is {config.model.base_model}"
    if saved.get("r") != config.lora.r:
        return f"its lora.r is {saved.get('r')}, configured is {config.lora.r}"
    targets, wanted = saved.get("target_modules"), config.lora.target_modules
    if isinstance(targets, list) and isinstance(wanted, list) and set(map(str, targets)) != set(wanted):
        return f"its target_modules are {sorted(map(str, targets))}, configured are {sorted(wanted)}"
    return None


def _find_missing(checkpoint: Path, names: set[str], config: Config) -> str | None:
    if config.subject.trainer is not None:
        return None  # what the user's own trainer keeps is for him to say
    split = any(
        name.startswith(("global_step", "pytorch_model_fsdp", "optimizer_")) for name in names
    )  # by deepspeed or fsdp
    if split:
        return None
    index = next((name for name in _INDEXES if name in names), None)
    if index is not None:
        document = read_json(checkpoint / index)
        weights = document.get("weight_map") if isinstance(document, dict) else None
        if not isinstance(weights, dict) or not weights:
            return f"{index} lists no weights"
        lost = sorted({str(name) for name in weights.values()} - names)
        if lost:
            return f"{lost[0]} is missing, which {index} lists"
    elif not any(name in names for name in _WEIGHTS):
        return f"there are no weights in it (none of {', '.join(_WEIGHTS)})"
    if "adapter_model.safetensors" in names and "adapter_config.json" not in names:
        return "adapter_config.json is missing, without which nobody knows what the weights belong to"
    for name in ("optimizer.pt", "scheduler.pt"):
        if name not in names:
            return f"{name} is missing, so the run would not go on as it was (training.save_only_model leaves it out)"
    if not any(name.startswith("rng_state") for name in names):
        return "rng_state.pth is missing, so other rows would follow than those that were left"
    return None


def _examine(path: Path) -> str | None:
    """What is wrong with one file by what it says about itself."""
    if path.suffix == ".json":
        read_json(path)
    elif path.suffix == ".safetensors":
        return examine_safetensors(path)
    elif path.suffix in _ZIPPED:
        return _examine_zip(path)
    return None


def examine_safetensors(path: Path) -> str | None:
    """How a file of safetensors is not what its header says; None for a whole one. Raises OSError."""
    with open_file(path) as file:
        size = file.seek(0, 2)
        file.seek(0)
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(_LARGEST_HEADER, size - 8):
            return f"{path.name} is cut short: its header does not fit into {size:,} bytes"
        try:
            entries = msgspec.json.decode(file.read(length), type=dict[str, dict[str, Any]])
            ends = [entry["data_offsets"][1] for name, entry in entries.items() if name != "__metadata__"]
            expected = 8 + length + max(ends, default=0)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, LookupError, TypeError) as error:
            return f"the header of {path.name} cannot be read ({error})"
    return None if size == expected else f"{path.name} has {size:,} bytes, its header says {expected:,}"


def _examine_zip(path: Path) -> str | None:
    """torch saves zip archives with a checksum of every entry."""
    try:
        with open_file(path) as file, zipfile.ZipFile(file) as archive:
            broken = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        return f"{path.name} is cut short or damaged ({error})"
    return None if broken is None else f"{path.name} is damaged (at {broken})"
