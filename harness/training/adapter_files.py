"""A saved adapter as its files show it, before any weights are loaded: what it is of, and whether it fits a base model."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from preflight_ocr.harness.config.config import build_config, load_config
from preflight_ocr.harness.config.errors import UserError
from preflight_ocr.harness.config.schema import Config
from preflight_ocr.harness.foreign.files import is_file, is_folder, open_file
from preflight_ocr.harness.foreign.json_text import BrokenJson, read_json
from preflight_ocr.harness.training.checkpoints import examine_safetensors

WEIGHTS = "adapter_model.safetensors"
SETTINGS = "adapter_config.json"
_FLOATS = ("F64", "F32", "F16", "BF16")  # a quantised tensor is packed, and its shape says nothing
_LORA = re.compile(r"(?:base_model\.model\.)?(.+)\.lora_([AB])(?:\.\w+)?\.weight")
_SNAPSHOT = re.compile(r"models--([^/\\]+)--([^/\\]+)[/\\]snapshots[/\\]")


class ForeignAdapter(UserError):
    """The folder holds no adapter that can be read, or one of another model."""


class AdapterFiles(msgspec.Struct, frozen=True, kw_only=True):
    """`settings` are those of adapter_config.json; `shapes` maps the name of each weight to its shape."""

    directory: Path
    settings: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, ...]]

    @property
    def base(self) -> str:
        """The base model as PEFT wrote it down; "" where it did not."""
        return str(self.settings.get("base_model_name_or_path") or "")

    def digest(self) -> str:
        """sha256 of the weights."""
        file: Any
        with open_file(self.directory / WEIGHTS) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def read_adapter(directory: Path) -> AdapterFiles:
    """Read and hold against each other what is in the folder. Raises ForeignAdapter."""
    if not is_folder(directory):
        raise ForeignAdapter(f"{directory}: there is no such folder; give the adapter folder that run-training named")
    if not is_file(directory / SETTINGS):
        inside = directory / "adapter"
        hint = f"; did you mean {inside}?" if is_file(inside / SETTINGS) else "; give the folder that PEFT saved"
        raise ForeignAdapter(f"{directory}: seen a folder without {SETTINGS}{hint}")
    if not is_file(directory / WEIGHTS):
        raise ForeignAdapter(f"{directory}: {WEIGHTS} is missing; save the adapter with safe_serialization=True")
    try:
        settings = read_json(directory / SETTINGS)
        damage = examine_safetensors(directory / WEIGHTS)
        shapes = {name: shape for name, (shape, _) in _read_shapes(directory / WEIGHTS).items()} if not damage else {}
    except (BrokenJson, OSError) as error:
        raise ForeignAdapter(
            f"{directory}: {getattr(error, 'strerror', None) or error}; save the adapter again"
        ) from None
    if damage or not isinstance(settings, dict):
        raise ForeignAdapter(f"{directory}: {damage or f'{SETTINGS} is no mapping'}; save the adapter again")
    adapter = AdapterFiles(directory=directory, settings=settings, shapes=shapes)
    if settings.get("peft_type") == "LORA" and not settings.get("rank_pattern"):
        ranks = {shape[0] for _, letter, shape in _list_pairs(shapes) if letter == "A" and shape}
        if ranks and ranks != {settings.get("r")}:
            seen = (
                f"{SETTINGS} says r = {settings.get('r')}, the weights have rank {', '.join(map(str, sorted(ranks)))}"
            )
            raise ForeignAdapter(f"{directory}: {seen}; the two files are of different runs: copy both from one")
    return adapter


def configure_reading(
    adapter: AdapterFiles, *, source: Path | None = None, base: str | None = None, trust: bool = False
) -> Config:
    """What to load the adapter's model with: `source`, else the configuration saved beside the adapter, else its base alone.

    Trust is the user's to give: `trust_remote_code` of a file that lies beside an adapter, which may come from anybody,
    does not count, and no part of `subject` is taken from it. Raises ConfigError and ForeignAdapter.
    """
    if source is not None:
        config = load_config(source, trust=trust or None)
    elif is_file(adapter.directory / "config.yaml"):
        config = load_config(adapter.directory / "config.yaml", trust=trust)
        if config.subject.model is not None:
            raise ForeignAdapter(
                f"{adapter.directory}: the model was loaded by {config.subject.model}; give --config YAML"
            )
        config = msgspec.structs.replace(config, model=_name_base(config, adapter))
    elif adapter.base or base:
        model = {"base_model": base or adapter.base, "trust_remote_code": trust}
        return build_config({"model": model}, source=(adapter.directory / SETTINGS).absolute())
    else:
        raise ForeignAdapter(f"{adapter.directory}: {SETTINGS} names no base model; give --base MODEL")
    if base is not None:
        named = build_config({"model": {"base_model": base}}, source=Path.cwd() / SETTINGS).model.base_model
        config = msgspec.structs.replace(config, model=msgspec.structs.replace(config.model, base_model=named))
    return config


def _name_base(config: Config, adapter: AdapterFiles) -> Any:
    """The base that the run had: a relative path in a file that was copied beside the adapter means another place now."""
    try:
        said = read_json(adapter.directory / "preflight.json")
    except (BrokenJson, OSError):
        said = {}
    base = said.get("base_model") if isinstance(said, dict) else None
    return msgspec.structs.replace(config.model, base_model=str(base or adapter.base or config.model.base_model))


def refuse_foreign(adapter: AdapterFiles, config: Config, directory: Path, *, named: bool = False) -> None:
    """Raise ForeignAdapter where the adapter is of another model than the one configured, whose files are in `directory`.

    `named`: the user named the base for this adapter, so that only shapes are compared.
    """
    base = config.model.base_model
    if not named and adapter.base and config.subject.model is None and _simplify(adapter.base) != _simplify(base):
        raise ForeignAdapter(
            f"{adapter.directory}: trained on {adapter.base}, and the base model here is {base}; "
            f"give the adapter of this model, or correct base_model_name_or_path in its {SETTINGS} if it is the same model"
        )
    if (seen := explain_mismatch(adapter, directory)) is not None:
        raise ForeignAdapter(f"{adapter.directory}: does not fit {base}: {seen}; give the adapter of this model")


def explain_mismatch(adapter: AdapterFiles, directory: Path) -> str | None:
    """Which layer of the adapter the base model's weights have no place for, by name and shape; None where none is seen.

    Only the headers of safetensors files are read. A layer that the file of weights calls otherwise than the model does is
    not judged here: loading will tell.
    """
    base: dict[str, list[tuple[list[str], tuple[int, ...]]]] = {}
    try:
        for path in sorted(directory.glob("*.safetensors")):
            for name, (shape, dtype) in _read_shapes(path).items():
                if dtype in _FLOATS and len(shape) == 2 and name.endswith(".weight"):
                    steps = name.removesuffix(".weight").split(".")
                    base.setdefault(steps[-1], []).append((steps, shape))
    except (OSError, msgspec.DecodeError, LookupError, TypeError, UnicodeDecodeError):
        return None  # loading the weights says what is wrong with them
    sizes: dict[str, dict[str, int]] = {}
    for module, letter, shape in _list_pairs(adapter.shapes):
        if len(shape) == 2:
            sizes.setdefault(module, {})[letter] = shape[1] if letter == "A" else shape[0]
    for module, ends in sizes.items():
        steps = module.split(".")
        alike = base.get(steps[-1])
        if not alike or len(ends) < 2:
            continue
        tail = _find_tail(steps)
        placed = [shape for theirs, shape in alike if theirs[-len(tail) :] == tail]
        if not placed and any(theirs[-len(tail) + 1 :] == tail[1:] for theirs, _ in alike):
            return f"the adapter has weights for {module}, and the base has no layer {tail[0]} of that kind"
        wanted = (ends["B"], ends["A"])
        if placed and wanted not in placed and wanted[::-1] not in placed:
            seen = " or ".join(f"{a} x {b}" for a, b in sorted(set(placed)))
            return f"{module} is {wanted[0]} x {wanted[1]} in the adapter and {seen} in the base"
    return None


def _find_tail(steps: list[str]) -> list[str]:
    """From the last number on, which counts the layers; else the last name."""
    at = max((index for index, step in enumerate(steps) if step.isdecimal()), default=len(steps) - 1)
    return steps[at:]


def _list_pairs(shapes: Mapping[str, tuple[int, ...]]) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """(module, A or B, shape) of every LoRA weight."""
    for name, shape in shapes.items():
        if (match := _LORA.fullmatch(name)) is not None:
            yield match[1], match[2], shape


def _read_shapes(path: Path) -> dict[str, tuple[tuple[int, ...], str]]:
    """Name -> shape and dtype of every tensor, from the header alone."""
    with open_file(path) as file:
        length = int.from_bytes(file.read(8), "little")
        entries = msgspec.json.decode(file.read(min(length, 100 * 2**20)), type=dict[str, dict[str, Any]])
    return {
        name: (tuple(entry["shape"]), str(entry["dtype"])) for name, entry in entries.items() if name != "__metadata__"
    }


def _simplify(base: str) -> str:
    """The model's own name: of a hub repository, of a snapshot of it in a cache, or of a folder."""
    if (match := _SNAPSHOT.search(base)) is not None:
        return match[2]
    return re.split(r"[/\\]", base.rstrip("/\\"))[-1]
