"""Ctrl-C and SIGTERM while a run trains: the step is finished, a checkpoint is saved, and it is said how to go on."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import transformers

from preflight_ocr.harness.launched import find_place
from preflight_ocr.harness.training.spreading import agree_on_largest

LOG = logging.getLogger("preflight_ocr.harness.training")
SIGNALS = ("SIGINT", "SIGTERM")


class TrainingStopped(Exception):
    """The run was asked to stop and did. `number` is the signal, `checkpoint` what it saved, None where it saved nothing."""

    def __init__(self, number: int, step: int, checkpoint: Path | None) -> None:
        self.number, self.step, self.checkpoint = number, step, checkpoint
        name = signal.Signals(number).name
        super().__init__(f"stopped by {name} after step {step}")


class Stopper(transformers.TrainerCallback):  # type: ignore[misc]
    """Ends the run behind the step in which a signal came. `number` is that signal, 0 while none has come."""

    def __init__(self) -> None:
        self.number = 0

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        # A launcher asks all processes to stop, but not all in the same step; the others would wait for one that stopped.
        self.number = agree_on_largest(self.number, args.device)
        if self.number and state.global_step < state.max_steps:
            control.should_save = True
            control.should_training_stop = True

    @contextmanager
    def listen(self) -> Iterator[None]:
        """Take the signals while the run trains. A second one ends it at once, as it would without us."""
        former: dict[int, Any] = {}
        try:
            for name in SIGNALS:
                number = getattr(signal, name)
                former[number] = signal.getsignal(number)
                signal.signal(number, self._note)
        except ValueError:  # not in the main thread: whoever runs us there decides over signals
            former.clear()
        self._former = former
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.number = self.number or number
        for other, handler in self._former.items():
            signal.signal(other, handler)
        if not find_place().is_first:
            return
        said = "Stopping behind this step, with a checkpoint. Once more to stop at once, without one."
        sys.stderr.write(f"\n{said}\n")
