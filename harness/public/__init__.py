"""Finds what would make fine-tuning an OCR vision-language model fail or learn nothing, before a GPU hour is spent.

    report = preflight_ocr.check(model=model, collator=collate, rows=rows, processor=processor)

looks at parts that are there, in this process; `preflight_ocr.hold(...)` in a loop says where its training begins;
`preflight_ocr.build_collator(config, model)` is our own collator, to be wrapped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from preflight_ocr.harness.config.schema import Config
    from preflight_ocr.harness.training.collate import Collator
    from preflight_ocr.reports.notebook import Shown

__version__ = "0.2.0"

__all__ = ["__version__", "build_collator", "check", "hold"]


def check(
    *,
    model: Any,
    collator: Any,
    rows: Any,
    processor: Any = None,
    args: Any = None,
    batch_size: int | None = None,
    only: tuple[str, ...] = (),
) -> Shown:
    """Judge the parts of a training run that are there, in this very process.

    `model` with its adapter, `collator` and `rows` as the training will use them; `args` are its TrainingArguments. The
    result shows itself in a notebook and as text. There is no isolation: what your code does here, it does here. The model
    and its adapter are looked at in copies forked from this process on Linux, and in place elsewhere, which trains it.
    """
    from preflight_ocr.harness.check.parts import check_parts
    from preflight_ocr.reports.notebook import Shown

    return Shown(
        check_parts(
            model=model, collator=collator, rows=rows, processor=processor, args=args, batch_size=batch_size, only=only
        )
    )


def hold(*, model: Any, collator: Any = None, rows: Any = None, processor: Any = None, batch_size: int = 1) -> None:
    """Say that training begins here. Under `preflight check -- COMMAND` the run is held; in any other run nothing happens.

    `collator` makes a batch of `batch_size` of the `rows`.
    """
    import sys

    hooks = sys.modules.get("preflight_ocr.harness.holding.hooks")
    holder = None if hooks is None else hooks.get_holder()
    if holder is None:
        return
    from preflight_ocr.harness.holding.held import Held

    holder.hold(
        Held(
            at="preflight_ocr.hold",
            model=model,
            collate=collator,
            rows=rows,
            processor=processor,
            batch_size=batch_size,
        )
    )


def build_collator(config: Config, model: Any) -> Collator:
    """Our own collator for this model, to be wrapped by yours or held against it.

    `config` and `model` are what a function named by `subject.collator` is given: the configuration as an object, and the
    model, which may carry its adapter. The collator takes a list of rows and returns a dict of tensors with `input_ids`,
    `attention_mask` and `labels` (int64, [batch, length]; -100 is not trained on) and the family's image arguments. Its
    tokenizer is loaded anew. Raises TrainingError where no declared family has such a forward.
    """
    from preflight_ocr.harness.training.model import load_processor
    from preflight_ocr.harness.training.train import build_own_collator

    return build_own_collator(config, model, load_processor(config), cached=False)
