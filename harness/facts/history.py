"""What a run logged, step by step, in a file of our own: `logs/history.jsonl` below the output directory.

Trainer keeps its history in memory and writes it only with a checkpoint; this file grows while the run goes on, so that a
run that was killed has its curves too, and it holds the memory in use, which Trainer does not log. Reading needs neither
torch nor transformers.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from preflight_ocr.harness.facts import Unknown
from preflight_ocr.harness.facts.run import RECORD, RunRecord, SampleReading, read_readings, read_record
from preflight_ocr.harness.foreign.files import read_bytes
from preflight_ocr.harness.foreign.json_text import read_json
from preflight_ocr.harness.foreign.text import clean_line

PLACE = Path("logs") / "history.jsonl"
MEMORY = {"allocated": "peak allocated on the accelerator", "resident": "resident memory of the process"}
NO_RUN = Unknown(reason="no training run has been recorded in training.output_dir")
_MOST = 64 << 20  # bytes; a longer file is no history of ours
_LARGEST = 2**62  # of a number that can be drawn


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One logged step. `values` are the numbers under Trainer's names (`loss`, `learning_rate`, `eval_loss`, ...);
    None for one that was not finite. `memory` is in bytes, of the kind `measured` (a key of `MEMORY`)."""

    step: int
    values: dict[str, float | None] = {}
    memory: int | None = None
    measured: str = ""


class RunHistory(msgspec.Struct, frozen=True, kw_only=True):
    """A training run as it was logged. `source` is the file it was read from, `written` when that was last written (UTC).

    `record` says how it began and ended, None for a trainer of the user's that another program ran; `readings` are those of
    held-out rows. `next_command` is what to type after it, and `evaluation_page` the file that it writes beside this page;
    both are empty where nobody says.
    """

    source: str
    written: datetime.datetime
    entries: tuple[Entry, ...]
    record: RunRecord | None = None
    readings: tuple[SampleReading, ...] = ()
    next_command: str = ""
    evaluation_page: str = ""

    def series(self, name: str) -> tuple[tuple[int, float | None], ...]:
        """(step, value) of every entry that has `name`."""
        return tuple((entry.step, entry.values[name]) for entry in self.entries if name in entry.values)

    @property
    def memory(self) -> tuple[tuple[int, int], ...]:
        """(step, bytes) of every entry that says how much memory was in use."""
        return tuple((entry.step, entry.memory) for entry in self.entries if entry.memory is not None)


def start(output_dir: Path, *, resumed_at: int = 0) -> None:
    """Begin a history; one that is resumed keeps what was logged up to that step. Raises OSError."""
    path = output_dir / PLACE
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = [entry for entry in _read_lines(path) if entry.step <= resumed_at] if resumed_at else []
    path.write_bytes(b"".join(msgspec.json.encode(entry) + b"\n" for entry in kept))


def note(output_dir: Path, step: int, logs: Mapping[str, Any], *, memory: int | None, measured: str) -> None:
    """Add what was logged at `step`. Raises OSError."""
    entry = Entry(step=step, values=_choose_numbers(logs), memory=memory, measured=measured)
    with (output_dir / PLACE).open("ab") as file:
        file.write(msgspec.json.encode(entry) + b"\n")


def read_history(output_dir: Path) -> RunHistory | Unknown:
    """The history of the last run, ours or the one in the newest checkpoint; Unknown where there is none."""
    try:
        found = _read_own(output_dir) or _read_checkpoint(output_dir)
        record = read_record(output_dir)
        if found is None and record is None:
            return NO_RUN
        if found is None:  # it ended before its first logged step
            found = _tell(output_dir / RECORD, ())
        return msgspec.structs.replace(found, record=record, readings=read_readings(output_dir))
    except OSError as error:
        return Unknown(reason=f"{output_dir} could not be read: {error.strerror or error}")


def _read_own(output_dir: Path) -> RunHistory | None:
    path = output_dir / PLACE
    entries = _read_lines(path)
    return _tell(path, entries) if entries else None


def _read_checkpoint(output_dir: Path) -> RunHistory | None:
    """What a trainer of the user's left: transformers' own history, in the checkpoint that was written last."""
    states = sorted(output_dir.glob("checkpoint-*/trainer_state.json"), key=lambda path: path.stat().st_mtime)
    states = [path for path in states if path.is_file()]
    if not states:
        return None
    try:
        state = read_json(states[-1], limit=_MOST)  # transformers writes NaN as it stands
        entries = tuple(
            Entry(step=_whole(logged["step"]), values=_choose_numbers({k: v for k, v in logged.items() if k != "step"}))
            for logged in state["log_history"]
        )
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError):
        return None
    return _tell(states[-1], entries) if entries else None


def _choose_numbers(logs: Mapping[str, Any]) -> dict[str, float | None]:
    """The numbers among what was logged, None for those that are not finite."""
    return {
        clean_line(str(name)): float(value) if _is_finite(value) else None
        for name, value in logs.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _whole(value: Any) -> int:
    if not isinstance(value, int | float) or not _is_finite(value):
        raise ValueError(f"{value!r} is no step")
    return int(value)


def _is_finite(value: float) -> bool:
    """Whether it is a number that a float can hold: JSON may give a whole one of any length."""
    return abs(value) < _LARGEST  # not NaN, either


def _read_lines(path: Path) -> tuple[Entry, ...]:
    """Every whole line; the last one of a run that was killed may be cut."""
    try:
        data = read_bytes(path, limit=_MOST)
    except FileNotFoundError:
        return ()
    entries = []
    for line in data.splitlines():
        try:
            entry = msgspec.json.decode(line, type=Entry)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        if abs(entry.step) < _LARGEST and abs(entry.memory or 0) < _LARGEST:
            entries.append(entry)
    return tuple(entries)


def _tell(path: Path, entries: tuple[Entry, ...]) -> RunHistory:
    written = datetime.datetime.fromtimestamp(path.stat().st_mtime, tz=datetime.UTC)
    return RunHistory(source=str(path), written=written, entries=entries)
