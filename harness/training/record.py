"""The record of a run: written when training begins, and once more however it ends."""

from __future__ import annotations

import datetime
import logging
import time
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import msgspec

from preflight_ocr.harness.config.schema import Config
from preflight_ocr.harness.facts.run import Ending, RunRecord, write_record
from preflight_ocr.harness.foreign.text import clean_line
from preflight_ocr.harness.launched import find_place
from preflight_ocr.harness.training.stopping import TrainingStopped

if TYPE_CHECKING:
    from preflight_ocr.harness.verdict.clearance import Clearance

LOG = logging.getLogger("preflight_ocr.harness.training")
PACKAGES = ("torch", "transformers", "peft", "preflight-ocr")


class RunLog:
    """A block in which `trainer` trains; what became of it is in the record when the block has ended, however it ended.

    `began` is when the command began to load, as `time.monotonic` counts. Of several processes the first writes.
    """

    def __init__(
        self,
        config: Config,
        trainer: Any,
        *,
        clearance: Clearance | None,
        resumed_from: Path | None,
        began: float,
        unread: str,
        is_declared: bool,
    ) -> None:
        self.directory, self.trainer, self._began = config.training.output_dir, trainer, began
        now = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=time.monotonic() - began)
        self.record = RunRecord(
            config=str(config.source),
            base_model=config.model.base_model,
            output_dir=str(config.training.output_dir),
            began=now.replace(microsecond=0),
            unread=unread,
            is_declared=is_declared,
            clearance=clearance.facts_digest if clearance else None,
            cleared=clearance.issued if clearance else None,
            versions={name: version(name) for name in PACKAGES},
            resumed_from=str(resumed_from) if resumed_from else None,
        )

    def __enter__(self) -> RunLog:
        if find_place().is_first:
            write_record(self.directory, self.record)
        return self

    def note_adapter(self, adapter: Path, *, step: int) -> None:
        """The weights of `step` are saved there."""
        self.record = msgspec.structs.replace(self.record, adapter=str(adapter), adapter_step=step)

    def note_test(self, cer: float, *, rows: int) -> None:
        """The rows of data.test_path were read with the saved weights."""
        self.record = msgspec.structs.replace(self.record, test_cer=cer, test_rows=rows)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        state = getattr(self.trainer, "state", None)
        history = getattr(state, "log_history", [])
        losses = [entry["loss"] for entry in history if "loss" in entry]
        held_out = [entry["eval_loss"] for entry in history if "eval_loss" in entry]
        steps, planned = getattr(state, "global_step", 0), getattr(state, "max_steps", 0)
        ending, said = _name_ending(error, is_short=steps < planned)
        self.record = msgspec.structs.replace(
            self.record,
            ended=datetime.datetime.now(datetime.UTC).replace(microsecond=0),
            ending=ending,
            said=said,
            steps=steps,
            planned=planned,
            seconds=round(time.monotonic() - self._began, 1),
            first_loss=losses[0] if losses else None,
            last_loss=losses[-1] if losses else None,
            eval_loss=held_out[-1] if held_out else None,
        )
        if not find_place().is_first:
            return
        try:
            write_record(self.directory, self.record)
        except OSError as failure:  # what ended the run is the more important news, and a saved adapter is there
            LOG.warning("the record of the run cannot be written: %s", failure.strerror or failure)


def _name_ending(error: BaseException | None, *, is_short: bool) -> tuple[Ending, str]:
    if error is None:
        return ("early", "") if is_short else ("finished", "")
    if isinstance(error, TrainingStopped):
        return "stopped", str(error)
    if not isinstance(error, Exception):  # Ctrl-C a second time, SIGTERM outside of the training loop
        return "stopped", "stopped at once, without a checkpoint of its own"
    return "failed", f"{type(error).__name__}: {clean_line(str(error))[:600]}"


def find_adapter_step(trainer: Any) -> int:
    """After how many steps the weights were as they are now: those of the best checkpoint, where that was loaded again."""
    state, settings = getattr(trainer, "state", None), getattr(trainer, "args", None)
    best = getattr(state, "best_model_checkpoint", None) if getattr(settings, "load_best_model_at_end", False) else None
    number = Path(best).name.rpartition("-")[2] if best else ""
    return int(number) if number.isdecimal() else int(getattr(state, "global_step", 0))
