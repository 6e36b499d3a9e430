"""What a cell of the matrix leaves behind: one JSON file, complete by itself: cells run anywhere and are merged later."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from preflight_ocr.harness import atomic
from preflight_ocr.harness.commands.window.releases import sort_key
from preflight_ocr.harness.config.errors import UserError

Ending = Literal["clear", "refused", "unjudged", "absent", "failed"]
Predicted = Literal["fits", "fails", "unknown"]


class Breach(msgspec.Struct, frozen=True, kw_only=True):
    """A finding as the matrix shows it: the root cause, without its evidence."""

    code: str
    name: str
    severity: Literal["BLOCKER", "MAJOR", "MINOR", "NOTE"]
    summary: str


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """What reading says about this model and these releases: `preflight window` for one column.

    `reason` is empty where it fits; else the first symbol that is missing, with `place` ("file:line") and what replaced it.
    """

    verdict: Predicted
    reason: str = ""
    place: str = ""


class ModelRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One model in one cell.

    `ending` is the verdict of the check; "unjudged" where nothing could be run; "absent" where these releases have no such
    model (`is_without_class`), or a package that it needs is not there; "failed" where Preflight itself raised. `reason`
    says why for the last three. `breaches` are the root causes, worst first. `agrees` says whether running and reading
    agree, and `explanation` why not; None where one of them says nothing.
    """

    model: str
    shown: str
    ending: Ending
    reason: str = ""
    breaches: tuple[Breach, ...] = ()
    kept: int = 0
    broken: int = 0
    skipped: int = 0
    seconds: float = 0.0
    is_without_class: bool = False
    prediction: Prediction | None = None
    agrees: bool | None = None
    explanation: str = ""


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    schema_version: Literal[1] = 1

    def write(self, path: Path) -> None:
        """Write the record in one step. Raises OSError where the folder cannot be written."""
        atomic.write_bytes(path, msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n")


class CellRecord(_Record, frozen=True, kw_only=True):
    """One cell: which releases were asked for, what was installed, and what came of each model.

    `built` is False where the environment could not be made; `reason` then says why, and `models` is empty. `seconds` has
    "install" and "run", in wall seconds. `environment` is package -> version as installed. `subject` is a digest of what was
    checked: a record of something else is no answer.
    """

    cell: str
    transformers: str
    peft: str
    built: bool
    reason: str = ""
    subject: str = ""
    environment: dict[str, str] = {}
    seconds: dict[str, float] = {}
    models: tuple[ModelRecord, ...] = ()


class Matrix(_Record, frozen=True, kw_only=True):
    """All cells of one matrix, oldest releases first; `config` is what was checked, "miniatures" by default."""

    config: str
    cells: tuple[CellRecord, ...]

    @property
    def exit_code(self) -> int:
        """0; 1 where Preflight itself failed on a model; 3 where no model was judged in any cell."""
        endings = {model.ending for cell in self.cells for model in cell.models}
        if "failed" in endings:
            return 1
        return 0 if endings & {"clear", "refused"} else 3


Record = TypeVar("Record", CellRecord, Matrix)


def read_cell(path: Path) -> CellRecord:
    """One cell's file. Raises UserError where it is not one."""
    return _read(path, CellRecord)


def read_matrix(path: Path) -> Matrix:
    """A merged file. Raises UserError where it is not one."""
    return _read(path, Matrix)


def merge(records: Iterable[CellRecord], *, config: str) -> Matrix:
    """The cells in order of their releases; of two records of one cell the later given stays."""
    latest = {record.cell: record for record in records}
    ordered = sorted(latest.values(), key=lambda r: (sort_key(r.transformers), sort_key(r.peft)))
    return Matrix(config=config, cells=tuple(ordered))


def _read(path: Path, kind: type[Record]) -> Record:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise UserError(f"{path}: seen {error}; expected a record that `preflight matrix` wrote") from None
