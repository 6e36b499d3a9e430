"""A text in, the diagnoses it points at out: every exception and every line is held against the table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO

import msgspec

from preflight_ocr.harness.commands.triage.answer import Kind, Recognised, TriageAnswer, Unrecognised, point
from preflight_ocr.harness.commands.triage.losses import Losses
from preflight_ocr.harness.commands.triage.pieces import Failure, Said, read_pieces
from preflight_ocr.harness.commands.triage.recogniser import Weighed, recognise
from preflight_ocr.harness.commands.triage.table import list_recognisers
from preflight_ocr.harness.commands.triage.whereabouts import locate

_MOST_SHOWN = 20  # different exceptions that nobody knows; a log of hours may hold thousands
_MOST_REMEMBERED = 100_000  # shapes of lines that say nothing
_DIGITS = str.maketrans("123456789", "000000000")
_LAUNCHERS = ("CalledProcessError", "ChildFailedError", "ProcessRaisedException", "ProcessExitedException")
"""What a launcher raises because the process it launched had raised: never a cause."""


def diagnose(
    stream: IO[bytes], *, source: str = "-", vocabulary: int | None = None, config: str = "CONFIG"
) -> TriageAnswer:
    """Read the whole text once. `vocabulary` is the model's number of tokens; where it is None, what the text says of it.

    `config` stands in the commands to type.
    """
    reading = _Reading(config)
    for piece in read_pieces(stream):
        reading.take(piece)
    return reading.finish(source, vocabulary)


class _Reading:
    """What is known of the text so far."""

    def __init__(self, config: str) -> None:
        self._config = config
        self._losses = Losses()
        self._recognised: dict[tuple[str, ...], Recognised] = {}
        self._unrecognised: dict[str, Unrecognised] = {}
        self._chain: list[Failure] = []
        self._dull: set[str] = set()
        self._last: Said | None = None

    def take(self, piece: Failure | Said) -> None:
        if isinstance(piece, Said):
            self._last = piece
            self._losses.take(piece.text, piece.line)
            self._read_line(piece)
            return
        if self._chain and self._chain[0].chain != piece.chain:
            self._end_chain()
        self._chain.append(piece)

    def finish(self, source: str, vocabulary: int | None) -> TriageAnswer:
        self._end_chain()
        size = vocabulary or self._losses.vocabulary
        for seen in self._losses.judge(size):
            self._add(seen.text, "numbers", seen.line, seen.causes, times=seen.times)
        recognised = sorted(self._recognised.values(), key=lambda r: (not any(p.certain for p in r.pointers), r.line))
        unrecognised = list(self._unrecognised.values())
        if len(unrecognised) > 1:
            unrecognised = [u for u in unrecognised if not _is_launcher(u.text)] or unrecognised
        if recognised:
            unrecognised = [u for u in unrecognised if not _is_launcher(u.text)]
        elif not unrecognised and not self._losses.count and self._last is not None:
            unrecognised = [Unrecognised(text=self._last.text[:300], line=self._last.line)]
        note = self._losses.ask(size)
        return TriageAnswer(
            source=source,
            recognised=tuple(recognised),
            unrecognised=tuple(unrecognised[:_MOST_SHOWN]),
            losses=self._losses.count,
            vocabulary=size,
            notes=(note,) if note else (),
        )

    def _read_line(self, said: Said) -> None:
        # Numbers are free in every pattern, so lines that differ in digits alone say the same, and logs repeat themselves.
        shape = said.text.translate(_DIGITS)
        if shape in self._dull:
            return
        if weighed := _find(said.text):
            self._add(said.text, "line", said.line, weighed)
        elif len(self._dull) < _MOST_REMEMBERED:
            self._dull.add(shape)

    def _end_chain(self) -> None:
        """Exceptions raised while handling one another are one event: the first one that is known is its cause."""
        known = [(failure, weighed) for failure in self._chain if (weighed := _find_failure(failure))]
        for failure, weighed in known:
            self._add(failure.text, "exception", failure.line, weighed, place=locate(failure).own)
        if self._chain and not known:
            self._note_unknown(self._chain[0])
        self._chain = []

    def _note_unknown(self, failure: Failure) -> None:
        seen = self._unrecognised.get(failure.text)
        if seen is not None:
            self._unrecognised[failure.text] = msgspec.structs.replace(seen, times=seen.times + 1)
        elif not failure.kind:
            reason = "the traceback is cut: its last line, which names the exception, is missing"
            self._unrecognised[""] = Unrecognised(text="a traceback without its end", line=failure.line, reason=reason)
        elif len(self._unrecognised) < _MOST_SHOWN * 5:
            where = locate(failure)
            self._unrecognised[failure.text] = Unrecognised(
                text=failure.text,
                line=failure.line,
                place=where.own,
                raised_by=where.raised_by,
                argument=where.argument,
                contracts=where.contracts,
            )

    def _add(
        self, text: str, kind: Kind, line: int, weighed: Iterable[Weighed], *, times: int = 1, place: str = ""
    ) -> None:
        pointers = point(weighed, config=self._config)
        key = (*(pointer.name for pointer in pointers), str(pointers[0].certain), pointers[0].cause)
        seen = self._recognised.get(key)
        if seen is None:
            self._recognised[key] = Recognised(
                text=text, kind=kind, line=line, times=times, place=place, pointers=pointers
            )
        else:
            self._recognised[key] = msgspec.structs.replace(seen, times=seen.times + times)


def _find_failure(failure: Failure) -> tuple[Weighed, ...]:
    return _find(failure.text, kind=failure.kind, stack=failure.stack) if failure.kind else ()


def _find(text: str, *, kind: str = "", stack: str = "") -> tuple[Weighed, ...]:
    """What the first recogniser that knows this message says."""
    said = (recognise(recogniser, text, kind=kind, stack=stack) for recogniser in list_recognisers())
    return next((weighed for weighed in said if weighed), ())


def _is_launcher(text: str) -> bool:
    return text.partition(":")[0].rpartition(".")[2] in _LAUNCHERS
