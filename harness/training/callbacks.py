"""What a run does beside its steps: its log, its history, and when it ends early."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import torch
import transformers

from preflight_ocr.harness.facts import history, run

LOG = logging.getLogger("preflight_ocr.harness.training")


def record_history(trainer: Any, output_dir: Path) -> None:
    """Have every log written down with the memory in use, by a trainer of the user's too where it takes callbacks."""
    add = getattr(trainer, "add_callback", None)
    if callable(add):
        add(HistoryWriter(output_dir))
    else:
        LOG.warning("%s takes no callbacks, so the run leaves no history to draw", type(trainer).__name__)


def measure_memory() -> tuple[int, str]:
    """Bytes in use and what they are, a key of `history.MEMORY`: the accelerator's peak since it was last asked, where
    there is one; else what the process holds in RAM now."""
    if torch.cuda.is_available():
        peak = torch.cuda.max_memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        return peak, "allocated"
    return psutil.Process().memory_info().rss, "resident"


class HistoryWriter(transformers.TrainerCallback):  # type: ignore[misc]
    """Every line Trainer logs goes to the run's history as soon as it is there, with the memory in use."""

    def __init__(self, output_dir: Path) -> None:
        self.output_dir = output_dir

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        if state.is_world_process_zero:
            history.start(self.output_dir, resumed_at=state.global_step)
            run.start_readings(self.output_dir, resumed_at=state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **given: Any) -> None:
        if state.is_world_process_zero:
            memory, measured = measure_memory()
            history.note(self.output_dir, state.global_step, logs or {}, memory=memory, measured=measured)


class LogWriter(transformers.TrainerCallback):  # type: ignore[misc]
    """Every line Trainer shows also goes to the log file."""

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **given: Any) -> None:
        if state.is_world_process_zero:
            LOG.info("step %d: %s", state.global_step, dict(logs or {}))


class EarlyStop(transformers.TrainerCallback):  # type: ignore[misc]
    """Stops after `patience` evaluations whose loss (or error rate) is not below the best by more than `threshold`.

    transformers' own callback asks for load_best_model_at_end, which a file need not set.
    """

    def __init__(self, patience: int, threshold: float, watched: str = "eval_loss") -> None:
        self.patience, self.threshold, self.watched = patience, threshold, watched
        self.best, self.waited = float("inf"), 0

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: Mapping[str, float] | None = None, **given: Any
    ) -> None:
        loss = (metrics or {}).get(self.watched)
        if loss is None:
            return
        if loss < self.best - self.threshold:
            self.best, self.waited = loss, 0
            return
        self.waited += 1
        if self.waited >= self.patience:
            LOG.info("stopping: %d evaluations without an %s below %.4f", self.waited, self.watched, self.best)
            control.should_training_stop = True
