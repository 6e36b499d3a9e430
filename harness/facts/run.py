"""What a training run did, in two files of our own below its output directory: `logs/run.json` and `logs/readings.jsonl`.

The first says how the run began and ended, and is there from its first second on: one that says nothing of an end is of a
run that goes on or was killed. The second has a line for each time that held-out rows were read, with a few of the texts.
Reading either needs neither torch nor transformers.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from preflight_ocr.harness import atomic
from preflight_ocr.harness.foreign.files import read_bytes

RECORD = Path("logs") / "run.json"
READINGS = Path("logs") / "readings.jsonl"
_MOST = 64 << 20  # bytes; a longer file is none of ours
_LARGEST = 2**62  # of a number that can be drawn

Ending = Literal["open", "finished", "early", "stopped", "failed"]
"""How a run ended: `open` while nothing is known of an end, `early` where it ended because nothing improved."""


class ReadText(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the sample as it was read: its number in `data.val_path` from 0, the true text, and the one that was read.

    `edits` of `characters` of the true text, after `evaluation.normalise`.
    """

    number: int
    image: str | None
    true: str
    read: str
    edits: int
    characters: int

    @property
    def cer(self) -> float:
        """Edits over true characters; above 1 where too much was read."""
        return self.edits / max(1, self.characters)


class SampleReading(msgspec.Struct, frozen=True, kw_only=True):
    """One reading of the sample, after `step` steps. Step 0 is the model before training.

    `sample` is a digest of what was read and how: only readings of one sample can be compared. `cer` and `wer` are over all
    `rows` rows together, `texts` are a few of them, the same at each reading. `edits` and `characters` have a number for
    each row, in the order of the rows; `constant` is a text that more than half of the rows were read as and that is not
    theirs, with how many.
    """

    step: int
    sample: str
    rows: int
    cer: float
    wer: float
    edits: tuple[int, ...]
    characters: tuple[int, ...]
    texts: tuple[ReadText, ...]
    constant: tuple[str, int] | None = None


class RunRecord(msgspec.Struct, frozen=True, kw_only=True):
    """How a run began and ended. Times are UTC; `seconds` is how long this part of the run took, without its loading again
    where it was continued. Losses are those that Trainer logged.

    `adapter_step` is the step whose weights are in `adapter`. `unread` is why no held-out rows were read in training, with
    the key that would have them read; empty where they were. `clearance` is the digest of the facts that were cleared.
    `is_declared` is whether our own commands can read pages with such a model.
    """

    config: str
    base_model: str
    output_dir: str
    began: datetime.datetime
    ended: datetime.datetime | None = None
    ending: Ending = "open"
    said: str = ""
    steps: int = 0
    planned: int = 0
    seconds: float = 0.0
    first_loss: float | None = None
    last_loss: float | None = None
    eval_loss: float | None = None
    test_cer: float | None = None
    test_rows: int = 0
    unread: str = ""
    is_declared: bool = True
    adapter: str | None = None
    adapter_step: int | None = None
    clearance: str | None = None
    cleared: datetime.datetime | None = None
    versions: dict[str, str] = {}
    resumed_from: str | None = None


def write_record(output_dir: Path, record: RunRecord) -> None:
    """Replace the record in one step. Raises OSError."""
    atomic.write_bytes(output_dir / RECORD, msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")


def read_record(output_dir: Path) -> RunRecord | None:
    """The record of the last run; None where there is none that can be read. Raises OSError."""
    try:
        return msgspec.json.decode(read_bytes(output_dir / RECORD, limit=_MOST), type=RunRecord)
    except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def start_readings(output_dir: Path, *, resumed_at: int = 0) -> None:
    """Begin the readings; a run that is resumed keeps those up to that step. Raises OSError."""
    kept = [one for one in read_readings(output_dir) if one.step <= resumed_at] if resumed_at else []
    path = output_dir / READINGS
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in kept))


def note_reading(output_dir: Path, reading: SampleReading) -> None:
    """Add one. Raises OSError."""
    path = output_dir / READINGS
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(msgspec.json.encode(reading) + b"\n")


def read_readings(output_dir: Path) -> tuple[SampleReading, ...]:
    """Every whole line; the last one of a run that was killed may be cut. Raises OSError."""
    try:
        data = read_bytes(output_dir / READINGS, limit=_MOST)
    except FileNotFoundError:
        return ()
    found = []
    for line in data.splitlines():
        try:
            one = msgspec.json.decode(line, type=SampleReading)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        if 0 <= one.step < _LARGEST and one.rows == len(one.edits) == len(one.characters) > 0:
            found.append(one)
    return tuple(found)


def find_rates(
    record: RunRecord | None, readings: Sequence[SampleReading]
) -> tuple[SampleReading | None, SampleReading | None]:
    """(before, after): the reading of the untrained model, and that of the weights that were saved, of one sample.

    Either is None where it was not made: nothing is taken from another step or from another sample.
    """
    after = None
    if record is not None and record.adapter_step is not None:
        after = next((one for one in reversed(readings) if one.step == record.adapter_step), None)
    sample = after.sample if after is not None else readings[-1].sample if readings else ""
    before = next((one for one in readings if one.step == 0 and one.sample == sample), None)
    return before, after
