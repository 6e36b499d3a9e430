"""The life of the run in small: each stage with how it ended."""

from __future__ import annotations

from typing import Literal

from preflight_ocr.harness.facts.base import NOT_LOOKED_AT, Fact, Raised, Unknown


class FailedCallback(Fact, kw_only=True):
    """A callback that raised, and the event at which it did: `SaveToBucket`, `on_save`."""

    callback: str
    event: str
    raised: Raised


class KeptOutputs(Fact, kw_only=True):
    """What an evaluation keeps in host memory until its metrics are computed: `bytes` of `rows` rows.

    `all_rows` is how many rows the run evaluates; `weights` and `host` are the bytes of the model and of this machine.
    """

    rows: int
    bytes: int
    all_rows: int | Unknown = NOT_LOOKED_AT
    weights: int
    host: int


class Rehearsal(Fact, kw_only=True):
    """One step, one evaluation, a checkpoint, the way back from it and the final save, with the run's own arguments.

    A stage is "done", "not asked" where the run has no such stage, what it raised, or Unknown with the reason why it is not
    done here. A stage that raised is passed
    over, so that those behind it are seen as well.
    """

    arguments: Raised | Literal["done"] | Unknown = NOT_LOOKED_AT  # TrainingArguments, sizes as asked for
    trainer: Raised | Literal["done"] | Unknown = NOT_LOOKED_AT  # with its callbacks and integrations
    optimizer: Raised | Literal["done"] | Unknown = NOT_LOOKED_AT  # and its schedule
    step: Raised | Literal["done"] | Unknown = NOT_LOOKED_AT
    callbacks: tuple[FailedCallback, ...] | Unknown = NOT_LOOKED_AT
    evaluation: Raised | Literal["done"] | Unknown = NOT_LOOKED_AT
    wanted_metric: str | Unknown | None = (
        NOT_LOOKED_AT  # what the best checkpoint is chosen by, as evaluation must call it
    )
    metrics: tuple[str, ...] | Unknown = NOT_LOOKED_AT  # what evaluation gave
    kept: KeptOutputs | Unknown = NOT_LOOKED_AT
    checkpoint: Raised | Literal["done"] | Unknown = NOT_LOOKED_AT
    resume: Raised | Literal["done"] | Unknown = NOT_LOOKED_AT
    best: Raised | Literal["done", "not asked"] | Unknown = NOT_LOOKED_AT  # loading the best checkpoint at the end
    saving: Raised | Literal["done"] | Unknown = NOT_LOOKED_AT  # the trained model, as the run saves it at the end
    processor: Raised | Literal["done", "not asked"] | Unknown = NOT_LOOKED_AT
    generation_config: Raised | Literal["done", "not asked"] | Unknown = (
        NOT_LOOKED_AT  # as saving the whole model writes it
    )
    reading: Raised | Literal["done"] | Unknown = NOT_LOOKED_AT  # what was saved, in a fresh process
    left_out: tuple[str, ...] | Unknown = NOT_LOOKED_AT  # what this machine cannot do, an argument each
