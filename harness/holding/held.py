"""What was held: everything that the training would have used, at the moment where it would have begun."""

from __future__ import annotations

from typing import Any

import msgspec


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """One `from_pretrained` of a model: what was asked for, and what was done in its place.

    `weights` is "real" where the files were loaded and "random" where the model was built from its configuration; `cut`
    says which lists of blocks were shortened, `bytes_before_cut` what the whole model's weights take.
    """

    source: str
    model_class: str
    revision: str | None = None
    cache_dir: str | None = None
    trust_remote_code: bool = False
    dtype: str | None = None
    attention: str | None = None
    device_map: str | None = None
    weights: str = "real"
    cut: tuple[str, ...] = ()
    bytes_before_cut: int = 0


class Held(msgspec.Struct, kw_only=True):
    """The parts as the command made them. None stands for what it did not give.

    `rows`, `collate`, `batch_size`, `workers` and `pins_memory` are those of the training loader: the trainer's removal of
    columns is in them. `unpack` makes of a batch what the training step calls the model with, by name. `asked` are the
    training arguments that this machine cannot carry out, as they were asked for; `lacking` is what was asked for in loading
    -> the package that it needs and that is not installed.
    """

    at: str
    model: Any
    collate: Any = None
    rows: Any = None
    eval_rows: Any = None
    processor: Any = None
    arguments: Any = None
    callbacks: tuple[Any, ...] = ()
    optimizers: tuple[Any, ...] = ()
    compute_metrics: Any = None
    label_names: tuple[str, ...] = ()
    batch_size: int = 1
    workers: int = 0
    pins_memory: bool = False
    trainer: Any = None
    loads: tuple[Load, ...] = ()
    asked: dict[str, Any] = {}
    undone: tuple[str, ...] = ()
    lacking: dict[str, str] = {}
    loader_error: str = ""
    unpack: Any = None


class Interruption(BaseException):
    """Ends the command where training would begin. `except Exception` does not catch it."""
