"""The one place where the benchmark asks what `preflight memory` expects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from preflight_ocr.harness.config import compat
from preflight_ocr.harness.config.config import load_config
from preflight_ocr.harness.config.errors import UserError
from preflight_ocr.harness.config.schema import Config
from preflight_ocr.harness.facts import Unknown
from preflight_ocr.harness.isolation.scratch import own_folder

BATCH = "per_device_train_batch_size"


def predict_peak(config: Config, batch: int, *, trust: bool = False, sandbox: Any = None) -> int | Unknown:
    """Bytes of tensors at the peak of a training step with this batch size: what `torch.cuda.max_memory_allocated` reads.

    The prediction is for the heaviest row of the user's data. `sandbox` is one already open.
    """
    from preflight_ocr.harness.commands.memory import predict
    from preflight_ocr.harness.isolation import SandboxUnavailable

    with own_folder() as folder:
        try:
            answer = predict(_with_batch(config, batch, folder), trust=trust, sandbox=sandbox)
        except (UserError, SandboxUnavailable) as error:
            return Unknown(reason=f"not predicted: {error}")
    if answer.peak is None:
        return Unknown(reason=f"not predicted: {'; '.join(answer.unknown) or 'preflight memory does not say why'}")
    return answer.peak.allocated


def _with_batch(config: Config, batch: int, folder: Path) -> Config:
    """The same file with another batch size, where a child can read it; what was relative to the file is written out."""
    document: dict[str, Any] = yaml.safe_load(config.source.read_text(encoding="utf-8-sig"))
    for name in ("optimization", "training"):
        section = document.get(name) or {}
        document[name] = {key: value for key, value in section.items() if compat.modern_name(key) != BATCH}
    document["training"] |= {BATCH: batch, "output_dir": str(config.training.output_dir)}
    document["model"] = {**document["model"], "base_model": config.model.base_model}
    document["subject"] = {**(document.get("subject") or {}), "path": str(config.subject.path)}
    data = dict(document.get("data") or {})
    for key in ("train_path", "val_path", "test_path", "cache_dir"):
        if data.get(key) is not None:
            data[key] = str(getattr(config.data, key))
    document["data"] = data
    if config.model.cache_dir is not None:
        document["model"]["cache_dir"] = str(config.model.cache_dir)
    path = folder / config.source.name
    path.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return load_config(path)
