"""Where the processes of one run meet before, beside and after torch's own process group: the launcher's store.

torch's collectives give up after a fixed time, and a check or a page may take longer. Here a wait lasts as long as the one
that is waited for is alive: each process says so every few seconds.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

from preflight_ocr.harness.config.errors import UserError
from preflight_ocr.harness.launched import Place, find_place

BEAT = 5.0
"""Seconds between two signs of life."""

SILENCE = 300.0
"""After so many seconds without a sign of life a process is taken for lost; it also bounds how much later one may start."""

_POLL = 0.05
_PARTED = "parted"
_PIECE = 1 << 20  # bytes; the store refuses a value above 8 MiB


class RankLost(UserError):
    """A process that was waited for has ended, or cannot be reached."""


class Meeting:
    """What one process says under a name, others hear. Each name is said once by each rank. Bytes in, bytes out."""

    def __init__(self, place: Place, store: Any, prefix: str = "preflight") -> None:
        """`store` is one of torch.distributed, which all processes reach; our keys in it begin with `prefix`."""
        self.place, self._store, self._prefix = place, store, prefix
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="preflight-beat", daemon=True)
        self._thread.start()

    def say(self, name: str, data: bytes = b"") -> None:
        """Leave `data` for whoever hears it. Raises RankLost where the store is gone."""
        pieces = [data[start : start + _PIECE] for start in range(0, len(data), _PIECE)]
        key = self._key(name, self.place.rank)
        with self._reaching():
            for number, piece in enumerate(pieces):
                self._store.set(f"{key}/{number}", piece)
            self._store.set(key, str(len(pieces)))

    def hear(self, name: str, rank: int, *, seconds: float | None = None, keeps: bool = True) -> bytes:
        """What that rank said under `name`, when it has said it.

        Raises RankLost where it gave no sign of life for SILENCE seconds, and TimeoutError after `seconds` where given.
        Without `keeps` it can be heard this once.
        """
        key = self._key(name, rank)
        begun, last_beat, last_change = time.monotonic(), b"", time.monotonic()
        while not self.has_said(name, rank):
            now = time.monotonic()
            if seconds is not None and now - begun > seconds:
                raise TimeoutError(f"rank {rank} has not said {name} in {seconds:g} s")
            if name != _PARTED and self.has_said(_PARTED, rank) and not self.has_said(name, rank):
                raise RankLost(f"rank {rank} has ended before it was due; see what it said")
            beat = self._read_beat(rank)
            if beat != last_beat:
                last_beat, last_change = beat, now
            elif now - last_change > SILENCE:
                raise RankLost(
                    f"rank {rank} has given no sign of life for {SILENCE:g} s; see what ended it, and start the run anew"
                )
            time.sleep(_POLL if now - begun < 5 else 10 * _POLL)
        with self._reaching():
            count = int(self._store.get(key))
            pieces = [bytes(self._store.get(f"{key}/{number}")) for number in range(count)]
            if not keeps:
                for number in range(count):
                    self._store.delete_key(f"{key}/{number}")
        return b"".join(pieces)

    def has_said(self, name: str, rank: int) -> bool:
        """Whether there is something to hear now."""
        with self._reaching():
            return bool(self._store.check([self._key(name, rank)]))

    def share(self, name: str, data: bytes | None = None) -> bytes:
        """What the first rank gives, to every rank."""
        if self.place.is_first:
            assert data is not None, f"the first rank gives what is shared as {name}"
            self.say(name, data)
            return data
        return self.hear(name, 0)

    def gather(self, name: str, data: bytes) -> list[bytes]:
        """What every rank gives, in their order, to the first; nothing to the others."""
        if not self.place.is_first:
            self.say(name, data)
            return []
        return [data, *(self.hear(name, rank, keeps=False) for rank in range(1, self.place.size))]

    def part(self) -> None:
        """Leave. The first goes last, for the store may be in its process; one that does not come is not waited for long."""
        with contextlib.suppress(RankLost, TimeoutError):
            self.say(_PARTED)
            if self.place.is_first:
                until = time.monotonic() + 4 * BEAT
                for rank in range(1, self.place.size):
                    self.hear(_PARTED, rank, seconds=until - time.monotonic())
        self._over.set()
        self._thread.join(2 * BEAT)

    def _key(self, name: str, rank: int) -> str:
        return f"{self._prefix}/{name}/{rank}"

    def _beat(self) -> None:
        number = 0
        while not self._over.is_set():
            number += 1
            try:
                self._store.set(self._key("beat", self.place.rank), str(number))
            except RuntimeError:  # the store is gone; whoever waits for something finds out by himself
                return
            self._over.wait(BEAT)

    def _read_beat(self, rank: int) -> bytes:
        with self._reaching():
            key = self._key("beat", rank)
            return bytes(self._store.get(key)) if self._store.check([key]) else b""

    @contextlib.contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:  # torch.distributed's DistStoreError and DistNetworkError are
            said = str(error).partition("\n")[0][:200]
            raise RankLost(
                f"the processes of this run cannot reach each other any more ({said}); see which of them ended"
            ) from None


@contextlib.contextmanager
def meet() -> Iterator[Meeting | None]:
    """The meeting of the processes that were started together; None for one that is alone.

    Raises RankLost where the launcher's address is missing or the others cannot be reached.
    """
    place = find_place()
    if place.size == 1:
        yield None
        return
    meeting = Meeting(place, *_open_store(place))
    try:
        yield meeting
    finally:
        meeting.part()


def _open_store(place: Place) -> tuple[Any, str]:
    """torchrun keeps the store in its own process; without it, rank 0 keeps it, and torch's group will share it later."""
    from torch.distributed.rendezvous import rendezvous  # which a torch that is built without distributed has not

    count = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    try:
        found = next(rendezvous("env://", timeout=datetime.timedelta(seconds=SILENCE)))
    except (ValueError, RuntimeError) as error:
        said = str(error).partition("\n")[0][:200]
        raise RankLost(
            f"started as {place.name} of {place.size} processes, which cannot be reached ({said}); start them with torchrun "
            f"or accelerate launch, or unset WORLD_SIZE for one process"
        ) from None
    _KEPT.append(found[0])
    # Numbered by meeting: a command may meet twice, and what was said the first time is not heard again.
    return found[0], f"preflight/{count}/{len(_KEPT)}"


_KEPT: list[Any] = []
"""Stores are kept until the process ends: torch's own group may use the same one."""
