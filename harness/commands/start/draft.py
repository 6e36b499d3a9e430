"""The YAML file that `init` writes: what was found, what it was found from, and what is still to be said."""

from __future__ import annotations

import difflib
import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml

from preflight_ocr.harness import atomic
from preflight_ocr.harness.check.sandboxes import limit, open_sandbox
from preflight_ocr.harness.commands.start.data import Rows, look_at_rows
from preflight_ocr.harness.commands.start.fetching import NotFetched, fetch_without_weights
from preflight_ocr.harness.commands.start.foreign import Taken, take_over
from preflight_ocr.harness.config.config import build_config
from preflight_ocr.harness.config.errors import UserError
from preflight_ocr.harness.config.keys import EFFECTS
from preflight_ocr.harness.config.packages import RUNNING, tell_absent
from preflight_ocr.harness.facts import Repository, Unknown
from preflight_ocr.harness.isolation import Returned, SandboxUnavailable
from preflight_ocr.probes.reading.exports import open_exports
from preflight_ocr.probes.reading.repository import find_model_directory, look_at_repository

__all__ = ["Draft", "draft"]

SECONDS = 300  # of the child that makes a batch of the longest rows
_ROUND = 64  # max_seq_length is a multiple of this
_ORDER = ("model", "lora", "training", "data", "early_stopping")
_USUAL: Mapping[str, Any] = {
    "lora.r": 16,
    "lora.lora_alpha": 32,
    "lora.target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"],
    "training.output_dir": "training",
    "training.num_train_epochs": 3,
    "training.per_device_train_batch_size": 1,
    "training.gradient_accumulation_steps": 8,
    "training.learning_rate": 0.0001,
    "training.remove_unused_columns": False,
    "training.logging_steps": 10,
}
"""What a run needs to be told and nobody can read from a model or from data."""


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """`text` is the file, `remarks` are sentences on what could not be found, `told` on what was done besides."""

    text: str
    remarks: tuple[str, ...]
    told: tuple[str, ...] = ()


def draft(
    *,
    target: Path,
    model: str | None,
    data: Path | None,
    source: Path | None,
    trust: bool,
    progress: Callable[[str], None],
) -> Draft:
    """The YAML file to be written at `target`, whose paths are then relative to its folder. Raises UserError.

    What is said on the command line wins over `source`, another program's file. The model's code runs only with `trust`.
    """
    progress("reading")
    taken = take_over(source) if source is not None else None
    values: dict[str, Any] = {**_USUAL, **(taken.values if taken else {})}
    if model is not None:
        _refuse_absent_folder(model)
        values["model.base_model"] = model if not Path(model).exists() else _relate(Path(model), target)
    notes: dict[str, str] = {}
    remarks: list[str] = []
    told: list[str] = []
    rows = look_at_rows(data) if data is not None else None
    if rows is not None:
        values |= {f"data.{split}_path": _relate(folder, target) for split, folder in rows.folders.items()}
        notes["data.train_path"] = f"{rows.count} rows; the longest text has {rows.characters:,} characters"
    if "data.val_path" in values:
        values.setdefault("training.eval_strategy", "epoch")
    if "model.base_model" not in values:
        remarks.append("no model was given: write its folder or its hub id behind `base_model`, or give --model")
    else:
        _describe_model(values, notes, remarks, told, target=target, rows=rows, trust=trust, progress=progress)
    return Draft(text=_write(values, notes, remarks, taken), remarks=tuple(remarks), told=tuple(told))


def _describe_model(
    values: dict[str, Any],
    notes: dict[str, str],
    remarks: list[str],
    told: list[str],
    *,
    target: Path,
    rows: Rows | None,
    trust: bool,
    progress: Callable[[str], None],
) -> None:
    """What the model's files say, and what a batch of the longest rows shows."""
    document = _fold({key: value for key, value in values.items() if key != "data.max_seq_length"})
    config = build_config(document, source=target)
    directory = find_model_directory(config)
    if isinstance(directory, Unknown) and _is_hub_id(config.model.base_model):
        name, revision, cache = config.model.base_model, config.model.revision, config.model.cache_dir
        try:
            told.append(fetch_without_weights(name, revision=revision, cache=cache, tell=progress))
            directory = find_model_directory(config)
        except NotFetched as error:
            remarks.append(f"the files of {name} were not fetched: {error}")
    repository = directory if isinstance(directory, Unknown) else look_at_repository(directory, open_exports())
    if isinstance(repository, Unknown):
        remarks.append(f"the model was not read: {repository.reason}")
        return
    kind = repository.model_type or "no model_type"
    code = ", with code of its own" if repository.has_remote_code else ""
    notes["model.base_model"] = f"{kind}{code}"
    if repository.has_remote_code:
        values.setdefault("model.trust_remote_code", trust)
        if not values["model.trust_remote_code"]:
            notes["model.trust_remote_code"] = "read its code, then write true: nothing of it runs before"
    if repository.torch_dtype:
        values.setdefault("model.torch_dtype", repository.torch_dtype)
        notes.setdefault("model.torch_dtype", "as the model's files say")
    _measure_rows(
        values, notes, remarks, document, repository, target=target, rows=rows, trust=trust, progress=progress
    )


def _measure_rows(
    values: dict[str, Any],
    notes: dict[str, str],
    remarks: list[str],
    document: dict[str, Any],
    repository: Repository,
    *,
    target: Path,
    rows: Rows | None,
    trust: bool,
    progress: Callable[[str], None],
) -> None:
    obstacle = ""
    if rows is None:
        obstacle = "no --data was given"
    elif absent := tell_absent("a batch of your rows", RUNNING):
        obstacle = absent
    elif repository.has_remote_code and not trust:
        obstacle = "the model's own code was not run; read it, then type `preflight init` again with --trust"
    if rows is None or obstacle:
        remarks.append(f"max_seq_length and target_modules were not looked for: {obstacle}")
        return
    progress("running: a batch of the longest rows")
    with tempfile.TemporaryDirectory() as place:
        probe = target.with_name(f".{target.name}.init")
        atomic.write_text(probe, yaml.safe_dump(document))
        try:
            with open_sandbox() as sandbox:
                ended = sandbox.run(
                    "preflight_ocr.harness.commands.start.measuring:measure",
                    {"config_path": str(probe), "trust": trust, "folder": place, "rows": list(rows.longest)},
                    limits=limit(SECONDS),
                )
        except SandboxUnavailable as error:
            remarks.append(f"max_seq_length and target_modules were not looked for: {error}")
            return
        finally:
            probe.unlink(missing_ok=True)
    if not isinstance(ended, Returned) or not isinstance(ended.value, dict):
        from preflight_ocr.harness.check.endings import tell

        remarks.append(f"max_seq_length and target_modules are not known: {tell(ended).reason}")
        return
    seen = ended.value
    if seen["family"]:
        notes["model.base_model"] += f", of the family {seen['family']}"
    if values["lora.target_modules"] == _USUAL["lora.target_modules"]:  # nobody asked for others
        values["lora.target_modules"] = seen["targets"] or values["lora.target_modules"]
        notes["lora.target_modules"] = "the linear layers of a decoder block"
    if seen["longest"] is None:
        remarks.append(
            "no family declares this model, so max_seq_length was not found: name your collator under `subject`"
        )
        return
    needed = -(-seen["longest"] // _ROUND) * _ROUND
    given = values.get("data.max_seq_length")
    if given is None or given < seen["longest"]:
        values["data.max_seq_length"] = needed
        was = f" ({given} would cut it)" if given is not None else ""
        notes["data.max_seq_length"] = f"the longest row has {seen['longest']} tokens with its page{was}"


def _is_hub_id(name: str) -> bool:
    return re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", name) is not None and not Path(name.partition("/")[0]).is_dir()


def _refuse_absent_folder(model: str) -> None:
    """Raise UserError for what is neither a folder here nor written as a hub id is."""
    path = Path(model).expanduser()
    if path.is_dir() or (not path.exists() and _is_hub_id(model)):
        return
    if path.exists():
        raise UserError(f"--model {model}: seen a file, expected the model's folder or a hub id")
    folders = [entry.name for entry in path.parent.iterdir() if entry.is_dir()] if path.parent.is_dir() else []
    close = difflib.get_close_matches(path.name, folders, n=1)
    meant = f"; did you mean {path.parent / close[0]}?" if close else ""
    hub = " (a hub id is written OWNER/NAME)" if "/" not in model else ""
    raise UserError(f"--model {model}: there is no such folder{meant}{hub}")


def _fold(values: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, value in values.items():
        *sections, leaf = path.split(".")
        branch = tree
        for section in sections:
            branch = branch.setdefault(section, {})
        branch[leaf] = value
    return tree


def _write(values: Mapping[str, Any], notes: Mapping[str, str], remarks: list[str], taken: Taken | None) -> str:
    lines = [
        "# yaml-language-server: $schema=preflight.schema.json",
        "# Written by `preflight init`. `preflight schema -o preflight.schema.json` writes the file that your editor checks",
        "# this one with. Then type: preflight check THIS_FILE",
    ]
    lines += [f"# To do: {' '.join(remark.split())}" for remark in remarks]
    if taken is not None and taken.left:
        lines.append(f"# Not taken over from {taken.program}: {', '.join(taken.left)}")
    tree = _fold(values)
    if "model" not in tree or "base_model" not in tree["model"]:
        tree.setdefault("model", {})["base_model"] = None
    for section in _ORDER:
        if section in tree:
            lines += ["", f"{section}:", *_write_section(section, tree[section], notes, "  ")]
    return "\n".join(lines) + "\n"


def _write_section(path: str, section: Mapping[str, Any], notes: Mapping[str, str], indent: str) -> list[str]:
    lines = []
    for key, value in section.items():
        place = f"{path}.{key}"
        if isinstance(value, dict) and place in ("data.preprocessing", "model.quantization"):
            lines += [f"{indent}{key}:", *_write_section(place, value, notes, indent + "  ")]
            continue
        note = notes.get(place) or EFFECTS.get(place, "")
        written = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True).removesuffix("\n")
        written = "" if value is None else written.removesuffix("\n...")
        lines.append(f"{indent}{key}: {written}".rstrip() + (f"  # {note}" if note else ""))
    return lines


def _relate(path: Path, target: Path) -> str:
    """The path as the YAML file at `target` should name it: from its own folder where it lies below that."""
    path, folder = path.absolute(), target.absolute().parent
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)
