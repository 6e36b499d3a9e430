"""The last run of each part, kept in a file that is committed: the page on how the verdict is tested shows it."""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
from pathlib import Path

import msgspec

from preflight_ocr.harness import atomic
from preflight_ocr.harness.isolation.closing import measure_landlock
from tests.campaign.tally import Tally

__all__ = ["RECORDS", "Record", "keep", "read"]

RECORDS = Path(__file__).resolve().parents[2] / "docs" / "measured" / "campaign.json"


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One run of one part: when, in how many seconds, on what, and what came of it."""

    name: str
    day: datetime.date
    seconds: int
    environment: dict[str, str]
    tally: Tally


def read(path: Path = RECORDS) -> tuple[Record, ...]:
    """The records in the file; none where there is no such file."""
    return msgspec.json.decode(path.read_bytes(), type=tuple[Record, ...]) if path.is_file() else ()


def keep(name: str, tally: Tally, seconds: float, path: Path = RECORDS) -> None:
    """Put the record of this run in the place of the part's last one."""
    new = Record(
        name=name,
        day=datetime.date.today(),
        seconds=round(seconds),
        environment=_describe_environment(),
        tally=tally,
    )
    kept = {record.name: record for record in read(path)} | {name: new}
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(path, msgspec.json.format(msgspec.json.encode(tuple(kept.values())), indent=2) + b"\n")


def _describe_environment() -> dict[str, str]:
    versions = {name: importlib.metadata.version(name) for name in ("torch", "transformers", "peft")}
    system = f"{platform.system()} {platform.release().partition('-')[0]}"
    return {"python": platform.python_version(), **versions, "system": system, "landlock": str(measure_landlock())}
