"""Which checkpoint a run goes on from."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from preflight_ocr.harness.config.errors import UserError
from preflight_ocr.harness.config.schema import Config


class CheckpointError(UserError):
    """The checkpoint asked for is not there or belongs to another run."""


def choose(config: Config) -> Path | None:
    """The checkpoint that `training.resume_from_checkpoint` means.

    A path means that checkpoint; true (or "latest") the newest one below `output_dir` with the same base model and
    adapter shape, and a fresh start where there is none. Raises CheckpointError for a path that is missing or does not
    match.
    """
    asked = config.training.resume_from_checkpoint
    if asked is None or asked is False or str(asked).lower() in ("false", "no", ""):
        return None
    if asked is True or str(asked).lower() in ("true", "yes", "latest", "last"):
        found = [
            path for path in list_newest_first(config.training.output_dir) if explain_mismatch(path, config) is None
        ]
        return found[0] if found else None
    path = next((one for one in (config.source.parent / str(asked), Path(str(asked)).absolute()) if one.is_dir()), None)
    if path is None:
        raise CheckpointError(
            f"resume_from_checkpoint is {asked}, but there is no such directory; write true for the newest"
        )
    if (mismatch := explain_mismatch(path, config)) is not None:
        raise CheckpointError(
            f"{path} belongs to another run: {mismatch}; choose another checkpoint or another output_dir"
        )
    return path


def list_newest_first(output_dir: Path) -> list[Path]:
    """The complete checkpoints below `output_dir`. Trainer writes trainer_state.json near the end."""
    numbered = [
        (int(match[1]), path)
        for path in output_dir.glob("checkpoint-*")
        if (match := re.fullmatch(r"checkpoint-(\d+)", path.name)) and (path / "trainer_state.json").is_file()
    ]
    return [path for _, path in sorted(numbered, reverse=True)]


def explain_mismatch(checkpoint: Path, config: Config) -> str | None:
    """What differs between the checkpoint's adapter and the configured one, or None."""
    file = checkpoint / "adapter_config.json"
    if config.subject.peft is not None or not file.is_file():
        return None
    saved: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    base = saved.get("base_model_name_or_path")
    if config.subject.model is None and base and Path(base) != Path(config.model.base_model):
        return f"its base model is {base}, configured is {config.model.base_model}"
    if saved.get("r") != config.lora.r:
        return f"its lora.r is {saved.get('r')}, configured is {config.lora.r}"
    targets, wanted = saved.get("target_modules"), config.lora.target_modules
    if isinstance(targets, list) and isinstance(wanted, list) and set(targets) != set(wanted):
        return f"its target_modules are {sorted(targets)}, configured are {sorted(wanted)}"
    return None
