"""From a configuration or a model directory to an answer: what the files say, and what a child finds where code may run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from preflight_ocr.harness.check.trust import NO_TRUST, is_foreign
from preflight_ocr.harness.config.errors import UserError
from preflight_ocr.harness.config.packages import RUNNING, tell_absent
from preflight_ocr.harness.config.schema import Config
from preflight_ocr.harness.facts import MemoryForecast, Repository, Share, Unknown
from preflight_ocr.harness.isolation.scratch import own_folder
from preflight_ocr.harness.memory.files import Files, read_weights
from preflight_ocr.harness.memory.fit import judge, open_forecast

SECONDS = 900.0
"""A step of a 3 B mixture of experts takes half a minute to follow, and every change is a step of its own."""


def predict(
    config: Config, *, trust: bool = False, progress: Callable[[str], None] = lambda message: None, sandbox: Any = None
) -> MemoryForecast:
    """What a training step needs. Raises UserError where there is no model directory, SandboxUnavailable where no child can
    be started. `config.source` is the YAML file, or the model directory that was given in its place."""
    from preflight_ocr.probes.reading.repository import find_model_directory

    progress("reading: weights")
    directory = find_model_directory(config)
    if isinstance(directory, Unknown):
        raise UserError(directory.reason)
    files = read_weights(directory)
    if (reason := _forbid(config, directory, trust)) is not None:
        return _from_files(config, files, reason)
    progress("running: forecast")
    found = _run_child(config, trust, sandbox)
    if isinstance(found, str):
        return _from_files(config, files, found)
    if found.weight_bytes is None:
        return _from_files(config, files, *found.unknown)
    return _compare(found, files)


def _forbid(config: Config, directory: Path, trust: bool) -> str | None:
    """Why no code may or can run, None where it may."""
    from preflight_ocr.probes.reading.exports import open_exports
    from preflight_ocr.probes.reading.repository import look_at_repository

    if absent := tell_absent("following a step", RUNNING):
        return absent
    repository = look_at_repository(directory, open_exports())
    if isinstance(repository, Repository) and repository.has_remote_code and not any(directory.glob("*.py")):
        return "config.json names code of the model's own (auto_map), and none of it is in the directory"
    return NO_TRUST if is_foreign(config, repository) and not trust else None


def _run_child(config: Config, trust: bool, sandbox: Any) -> MemoryForecast | str:
    from preflight_ocr.harness.check.check import limit, open_sandbox
    from preflight_ocr.harness.isolation import ChildRaised, Died, Returned

    with own_folder() as folder:
        source = _write_source(config, folder)
        arguments = {"config_path": str(source), "trust": trust, "folder": str(folder)}
        if sandbox is not None:
            ended = sandbox.run("preflight_ocr.probes.rehearsal.forecast:observe", arguments, limits=limit(SECONDS))
        else:
            with open_sandbox(("preflight_ocr.probes.rehearsal.forecast",)) as own:
                ended = own.run("preflight_ocr.probes.rehearsal.forecast:observe", arguments, limits=limit(SECONDS))
    match ended:
        case Returned(value=value):
            return msgspec.convert(value, MemoryForecast)
        case ChildRaised(type=kind, message=message):
            return f"{kind.rpartition('.')[2]}: {message}"
        case Died(reason=reason):
            return f"foreign code died: the process {reason}"
    raise AssertionError(ended)


def _write_source(config: Config, folder: Path) -> Path:
    """The YAML file, or one that names the directory that was given in its place."""
    import yaml

    if config.source.is_file():
        return config.source
    path = folder / "model.yaml"
    path.write_text(yaml.safe_dump({"model": {"base_model": config.model.base_model}}), encoding="utf-8")
    return path


def _from_files(config: Config, files: Files | str, *reasons: str) -> MemoryForecast:
    """The weight part alone."""
    answer = open_forecast(
        source=config.model.base_model,
        method="the weights' files alone; no code was run",
        budget_gb=config.budget.vram_gb,
    )
    rest = "gradients, optimizer and activations: they follow from a model that can be built"
    answer = msgspec.structs.replace(answer, unknown=(*reasons, rest))
    if isinstance(files, str):
        return judge(msgspec.structs.replace(answer, unknown=(files, *answer.unknown)))
    shares = files.shares
    if not shares:
        dtype = files.dtype or "unknown dtype"
        shares = (Share(part="all", dtype=dtype, parameters=_count(files), bytes=files.total),)
        counted = ", ".join(f"{part} {count}" for part, count in sorted(files.tensors.items(), key=lambda x: -x[1]))
        note = f"bytes by part: {files.source} holds names and no shapes ({counted} tensors, by their names)"
        answer = msgspec.structs.replace(answer, unknown=(*answer.unknown, note))
    return judge(
        msgspec.structs.replace(
            answer, method=f"{files.source}; no code was run", weights=shares, weight_bytes=files.total
        )
    )


_WIDTHS = {"float32": 4, "bfloat16": 2, "float16": 2, "float64": 8}


def _count(files: Files) -> int:
    """Parameters, if all of them are of the dtype that config.json names; 0 where it names none."""
    width = _WIDTHS.get(files.dtype or "")
    return files.total // width if width else 0


def _compare(answer: MemoryForecast, files: Files | str) -> MemoryForecast:
    """A word where the code builds another number of bytes than the files hold in the same dtype."""
    if isinstance(files, str) or {share.dtype for share in answer.weights} != {files.dtype}:
        return answer
    if answer.weight_bytes == files.total:
        return msgspec.structs.replace(
            answer, assumptions=(*answer.assumptions, f"{files.source} says the same: {files.total:,} bytes")
        )
    note = f"{files.source} says {files.total:,} bytes, the code builds {answer.weight_bytes:,}"
    return msgspec.structs.replace(answer, assumptions=(*answer.assumptions, note))
