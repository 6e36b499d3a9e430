"""The clearance: that a check ended well, what it was bound to, and the signature of this user's machine under it.

It is no document to hand on. The key that signs it never leaves the machine, so that a clearance from another machine or
another user is refused, and so is one that somebody edited. Each machine does its own check.
"""

from __future__ import annotations

import datetime
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

from preflight_ocr.harness import atomic
from preflight_ocr.harness.config.schema import Config
from preflight_ocr.harness.foreign.files import is_file
from preflight_ocr.harness.state import find_state_directory
from preflight_ocr.harness.verdict.binding import Bound, bind
from preflight_ocr.harness.verdict.decision import Verdict
from preflight_ocr.harness.verdict.digests import digest_files
from preflight_ocr.harness.verdict.gate import GateError, Waiver
from preflight_ocr.harness.verdict.signing import is_signed, sign

__all__ = ["Clearance", "find_last"]

_BYTES = 32 << 20
NOT_SIGNED = "signature"


class Clearance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """That a check ended well, and sha256 digests of everything it depended on.

    `bound_to` holds one digest each for the configuration, trust, the model's files, the rows, the subject's source, the
    waivers, the installed versions and, above 1, the number of processes that train together; `files` one for each further
    file that foreign code imported or opened. So a clearance that no longer holds can say what changed. `waivers` are those
    that were given, with their last days.
    """

    schema_version: Literal[2] = 2
    verdict: Verdict
    level: str
    facts_digest: str
    bound_to: dict[str, str]
    files: dict[str, str]
    waivers: tuple[Waiver, ...]
    issued: datetime.datetime
    signature: str = ""

    @classmethod
    def issue(cls, bound: Bound, *, verdict: Verdict, level: str, facts_digest: str) -> Clearance:
        """A signed clearance for the state that was checked. Raises GateError where that state changed meanwhile."""
        if bound.changed:
            changed = ", ".join(bound.changed)
            raise GateError(f"changed while it was checked: {changed}; nothing is cleared, run the check again")
        draft = cls(
            verdict=verdict,
            level=level,
            facts_digest=facts_digest,
            bound_to=bound.parts,
            files=bound.files,
            waivers=bound.waivers,
            issued=datetime.datetime.now(datetime.UTC).replace(microsecond=0),
        )
        return msgspec.structs.replace(draft, signature=sign(draft._encode()))

    @classmethod
    def read(cls, path: Path) -> Clearance:
        """Read a clearance. Raises GateError where there is none or it is not one."""
        try:
            if not is_file(path):
                raise GateError(f"{path}: cannot be read: there is no such file")
            with path.open("rb") as file:
                return msgspec.json.decode(file.read(_BYTES), type=cls)
        except OSError as error:
            raise GateError(f"{path}: cannot be read: {error.strerror}") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise GateError(f"{path}: this is not a clearance ({error}); delete it, and it is written anew") from None

    def write(self, path: Path) -> None:
        """Write it in one step. Raises OSError where the folder cannot be written."""
        atomic.write_bytes(path, msgspec.json.format(msgspec.json.encode(self, order="sorted"), indent=2) + b"\n")

    def changes(
        self, config: Config, *, waivers: Iterable[Waiver] | None = None, today: datetime.date | None = None
    ) -> tuple[str, ...]:
        """Which of the things it is bound to are no longer what they were.

        `waivers` are those given now; None asks only whether those of the clearance still run on `today`.
        """
        if not is_signed(self._encode(), self.signature):
            return (NOT_SIGNED,)
        today = today or datetime.date.today()
        now = bind(config, waivers=self.waivers if waivers is None else waivers)
        changed = {part for part in {*now, *self.bound_to} if now.get(part) != self.bound_to.get(part)}
        if any(waiver.until < today for waiver in self.waivers):
            changed.add("waivers")
        digests = digest_files(Path(name) for name in self.files)
        files = (f"the file {path}" for path, digest in digests.items() if self.files[os.fspath(path)] != digest)
        return (*sorted(changed), *files)

    def still_holds(
        self, config: Config, *, waivers: Iterable[Waiver] | None = None, today: datetime.date | None = None
    ) -> bool:
        """Whether training may start on it: it says clear, foreign code was run for it, and nothing changed since."""
        clear = self.verdict == "clear" and self.level in ("ran", "gpu")
        return clear and not self.changes(config, waivers=waivers, today=today)

    def _encode(self) -> bytes:
        """What is signed: all of it but the signature, in one fixed order."""
        return msgspec.json.encode(msgspec.structs.replace(self, signature=""), order="sorted")


def find_last(config: Config) -> Path:
    """Where the project's own last clearance lies: in the user's state folder, by the path of the configuration."""
    name = hashlib.sha256(os.fsencode(config.source.resolve())).hexdigest()[:24]
    return find_state_directory() / "clearances" / f"{name}.json"
