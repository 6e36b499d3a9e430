"""Where a model of the Hub lies on this machine. Nothing is downloaded."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from preflight_ocr.harness.config.schema import Config
from preflight_ocr.harness.foreign.files import expand, is_file, is_folder, read_bytes

__all__ = ["WEIGHTS", "find_dataset", "find_model_files", "find_snapshot"]

_COMMIT_BYTES = 1000

WEIGHTS = (
    ".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".gguf", ".onnx", ".h5", ".msgpack", ".npz", ".ot", ".tflite",
)  # fmt: skip
"""Endings of files that hold weights: a check needs none of them."""


def find_model_files(config: Config) -> Path | None:
    """The folder that `model.base_model` means: a local one, or a snapshot in the Hub's cache; None where it is neither."""
    return config.model.directory or find_snapshot(config)


def find_snapshot(config: Config) -> Path | None:
    """The snapshot of a Hub id at `model.revision` in the first cache that huggingface_hub would look in and find it."""
    return _find(config.model.base_model, config.model.revision or "main", "models", config.model.cache_dir)


def find_dataset(name: str) -> Path | None:
    """The snapshot of a dataset of the Hub ("owner/name") in the first cache that has it."""
    return _find(name, "main", "datasets", None) if "/" in name else None


def _find(name: str, revision: str, kind: str, chosen: Path | None) -> Path | None:
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) or name.startswith("."):
        return None
    for cache in _find_hub_caches(chosen):
        repository = cache / f"{kind}--{name.replace('/', '--')}"
        commit = revision
        reference = repository / "refs" / revision
        if is_file(reference):
            try:
                commit = read_bytes(reference, limit=_COMMIT_BYTES).decode("ascii", errors="replace").strip()
            except OSError:
                commit = revision
        snapshot = repository / "snapshots" / commit
        if re.fullmatch(r"[\w.-]+", commit) and is_folder(snapshot):
            return snapshot
    return None


def _find_hub_caches(chosen: Path | None) -> Iterator[Path]:
    """Where huggingface_hub would look, first the folder the YAML file names."""
    if chosen is not None:
        yield chosen
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "TRANSFORMERS_CACHE"):
        if os.environ.get(variable):
            yield expand(os.environ[variable])
    home = os.environ.get("HF_HOME")
    cache = os.environ.get("XDG_CACHE_HOME")
    own = Path(home) if home else (Path(cache) if cache else expand("~/.cache")) / "huggingface"
    yield expand(str(own)) / "hub"
