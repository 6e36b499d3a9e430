"""The user's own Trainer: does it scale the loss rightly under gradient accumulation."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import msgspec
import torch

from preflight_ocr.harness.facts import Raised, Unknown
from preflight_ocr.harness.training.model import load_processor
from preflight_ocr.harness.training.subject import load_part
from preflight_ocr.probes.workbench.assembly import Assembly
from preflight_ocr.probes.workbench.tracing import attempt

LOSS_KEYWORD = "num_items_in_batch"


def adds_loss_keyword(model: Any) -> bool:
    """Whether the installed Trainer would add LOSS_KEYWORD to this model's calls: it is asked, since its rule changed."""
    from transformers import Trainer, TrainingArguments

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(output_dir=folder, report_to="none", use_cpu=True)
        made = attempt(lambda: Trainer(model=model, args=arguments))
    return not isinstance(made, Raised) and bool(getattr(made, "model_accepts_loss_kwargs", False))


class _Same(torch.utils.data.Dataset[dict[str, Any]]):
    """One row, several times over, so that every micro-batch has the same loss and the same number of tokens."""

    def __init__(self, row: dict[str, Any], times: int) -> None:
        self.row, self.times = row, times

    def __len__(self) -> int:
        return self.times

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not -self.times <= index < self.times:
            raise IndexError(index)  # a `for` over the rows ends here
        return dict(self.row)


def measure_accumulation(parts: Assembly, adapted: Any) -> float | Unknown:
    """Logged loss of a step accumulated over two rows, divided by that of a step without accumulation: 1.0 is right."""
    factory = attempt(lambda: load_part(parts.config, "trainer"))
    if isinstance(factory, Raised):
        return Unknown(reason=f"the user's trainer could not be imported: {factory.type}: {factory.message}")
    if factory is None:
        return Unknown(reason=parts.no_trainer)
    if "rows" in parts.brings:
        return Unknown(reason="subject.trainer steps over rows of its own, so that two of its steps cannot be compared")
    losses = attempt(lambda: [_log_one_step(parts, factory, adapted, accumulation) for accumulation in (1, 2)])
    if isinstance(losses, Raised):
        return Unknown(reason=f"the user's trainer raised {losses.type}: {losses.message}")
    if losses[0] is None or losses[1] is None or not losses[0]:
        return Unknown(reason="the user's trainer logged no loss")
    return losses[1] / losses[0]


def _log_one_step(parts: Assembly, factory: Any, adapted: Any, accumulation: int) -> float | None:
    """The loss that the user's trainer logs for its first step, at a learning rate of zero."""
    with tempfile.TemporaryDirectory() as folder:
        changed = {
            "output_dir": folder,
            "max_steps": 1,
            "logging_steps": 1,
            "per_device_train_batch_size": 1,
            "gradient_accumulation_steps": accumulation,
            "learning_rate": 0.0,
            "report_to": "none",
            "save_strategy": "no",
            "use_cpu": True,
        }
        training = parts.config.training
        settings = msgspec.structs.replace(
            training,
            arguments={**training.arguments, **changed},
            output_dir=Path(folder),
            max_steps=1,
            logging_steps=1,
            per_device_train_batch_size=1,
            gradient_accumulation_steps=accumulation,
            learning_rate=0.0,
        )
        config = msgspec.structs.replace(parts.config, training=settings)
        rows: Any = _Same(parts.sample[0], 2 * accumulation)
        processor = load_processor(parts.config).processor
        trainer = factory(config, processor, adapted, parts.reference or parts.collate, rows, None)
        trainer.train()
        return next((float(entry["loss"]) for entry in trainer.state.log_history if "loss" in entry), None)
