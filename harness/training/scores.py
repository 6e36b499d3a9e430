"""How well texts were read: error rates with their uncertainty, by group, and what was taken for what. No torch, no model.

Texts are compared as they are, character by character, unless a normalisation is asked for by name. A character is a code
point; a word is what stands between white space.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from preflight_ocr.harness.config.schema import Normalisation

Operation = Literal["equal", "substitute", "delete", "insert"]
DRAWS = 1000
"""Bootstrap samples of the rows; an interval holds the middle 95 % of what they give."""

MOST_CONFUSIONS = 40
FEW = 4
"""Rows; of fewer, nothing is said of texts that are the same."""

_BUCKETS = (20, 80, 320, 1280)  # characters of the reference
_NORMALISE: Mapping[Normalisation, Callable[[str], str]] = {
    "nfc": lambda text: unicodedata.normalize("NFC", text),
    "nfkc": lambda text: unicodedata.normalize("NFKC", text),
    "casefold": str.casefold,
    "whitespace": lambda text: " ".join(text.split()),
}


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """A figure and the 95 % bootstrap interval around it."""

    value: float
    low: float
    high: float


class Piece(msgspec.Struct, frozen=True):
    """What stands in the reference and what was read in its place; one of them is "" where something is missing."""

    operation: Operation
    true: str
    read: str


class RowScore(msgspec.Struct, frozen=True, kw_only=True):
    """`edits` of `characters` and `word_edits` of `words` of the reference; `pieces` in their order."""

    edits: int
    characters: int
    word_edits: int
    words: int
    pieces: tuple[Piece, ...]

    @property
    def cer(self) -> float:
        """Edits over true characters; above 1 where too much is read. Where nothing was written, each character is one."""
        return self.edits / max(1, self.characters)


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """`cer` and `wer` count all edits over all rows; `clipped` is the mean of the rows' CER, none above 1; `exact` the share
    of rows without an edit. `repeated` rows only repeated themselves in the end, `cut` ones reached the most tokens."""

    rows: int
    cer: Interval
    wer: Interval
    median: Interval
    clipped: Interval
    exact: Interval
    repeated: int
    cut: int


class Confusion(msgspec.Struct, frozen=True, kw_only=True):
    """`true` was read as `read` so many times; one of them is "" for what was left out or put in."""

    true: str
    read: str
    times: int


def normalise(text: str, steps: Sequence[Normalisation]) -> str:
    """The text after these steps, in this order."""
    for step in steps:
        text = _NORMALISE[step](text)
    return text


def score_row(true: str, read: str) -> RowScore:
    """Compare two texts."""
    pieces = tuple(
        Piece(operation, true[start:stop], read[begin:end])
        for operation, start, stop, begin, end in _align(list(true), list(read))
    )
    words, read_words = true.split(), read.split()
    return RowScore(
        edits=_count(pieces),
        characters=len(true),
        word_edits=_count([Piece(o, "w" * (b - a), "w" * (d - c)) for o, a, b, c, d in _align(words, read_words)]),
        words=len(words),
        pieces=pieces,
    )


def _align(true: list[str], read: list[str]) -> list[tuple[Operation, int, int, int, int]]:
    """(operation, where in `true`, where in `read`) of the shortest way from one to the other.

    jiwer's own default cuts white space off the ends, which would be a normalisation that nobody asked for; and before
    its release 4 it takes no empty reference.
    """
    if not true or not read:
        return [("delete" if true else "insert", 0, len(true), 0, len(read))] if true or read else []
    import jiwer

    # What is given are lists of tokens already, so that what splits sentences has nothing to do.
    output = jiwer.process_words(
        ["x"], ["x"], reference_transform=lambda _: [true], hypothesis_transform=lambda _: [read]
    )
    return [
        (chunk.type, chunk.ref_start_idx, chunk.ref_end_idx, chunk.hyp_start_idx, chunk.hyp_end_idx)
        for chunk in output.alignments[0]
    ]


def _count(pieces: Sequence[Piece]) -> int:
    return sum(max(len(piece.true), len(piece.read)) for piece in pieces if piece.operation != "equal")


def summarise(scores: Sequence[RowScore], *, repeated: int = 0, cut: int = 0) -> Summary:
    """The figures of at least one row. The same rows give the same intervals."""
    import numpy

    edits = numpy.array([score.edits for score in scores], dtype=float)
    characters = numpy.array([score.characters for score in scores], dtype=float)
    word_edits = numpy.array([score.word_edits for score in scores], dtype=float)
    words = numpy.array([score.words for score in scores], dtype=float)
    cers = edits / numpy.maximum(1, characters)
    clipped, exact = numpy.minimum(1, cers), (edits == 0).astype(float)

    def measure(chosen: Any) -> tuple[float, ...]:
        return (
            float(edits[chosen].sum() / max(1, characters[chosen].sum())),
            float(word_edits[chosen].sum() / max(1, words[chosen].sum())),
            float(numpy.median(cers[chosen])),
            float(clipped[chosen].mean()),
            float(exact[chosen].mean()),
        )

    cer, wer, median, mean, same = _draw(measure, len(scores))
    return Summary(
        rows=len(scores), cer=cer, wer=wer, median=median, clipped=mean, exact=same, repeated=repeated, cut=cut
    )


def compare(before: Sequence[RowScore], after: Sequence[RowScore]) -> Interval:
    """By how much the CER of the same rows changed; below 0 where it became better. The rows are drawn in pairs."""
    return compare_edits(
        [score.edits for score in before], [score.edits for score in after], [score.characters for score in before]
    )


def compare_edits(before: Sequence[int], after: Sequence[int], characters: Sequence[int]) -> Interval:
    """As `compare`, from the edits of each row and the characters of its true text; one of each for every row."""
    import numpy

    change = numpy.array(after, dtype=float) - numpy.array(before, dtype=float)
    written = numpy.array(characters, dtype=float)

    def measure(chosen: Any) -> tuple[float]:
        return (float(change[chosen].sum() / max(1, written[chosen].sum())),)

    return _draw(measure, len(change))[0]


def _draw(measure: Callable[[Any], tuple[float, ...]], rows: int) -> list[Interval]:
    import numpy

    source = numpy.random.default_rng(0)
    drawn = numpy.array([measure(source.integers(rows, size=rows)) for _ in range(DRAWS)])
    low, high = numpy.quantile(drawn, (0.025, 0.975), axis=0)
    return [
        Interval(value=value, low=float(a), high=float(b))
        for value, a, b in zip(measure(numpy.arange(rows)), low, high, strict=True)
    ]


def find_constant(rows: Sequence[tuple[str, str]]) -> tuple[str, int] | None:
    """(text, rows) where more than half of at least FEW rows, each (true, read), were read as one text that is not theirs.

    Such a model answers without the page: its error rate alone does not say so.
    """
    wrong = Counter(read for true, read in rows if read != true)
    text, times = next(iter(wrong.most_common(1)), ("", 0))
    return (text, times) if len(rows) >= FEW and 2 * times > len(rows) else None


def list_confusions(scores: Sequence[RowScore]) -> tuple[Confusion, ...]:
    """The most frequent single characters that were taken for others, left out or put in."""
    found: Counter[tuple[str, str]] = Counter()
    for score in scores:
        for piece in score.pieces:
            if piece.operation == "substitute":
                found.update(zip(piece.true, piece.read, strict=True))
            elif piece.operation != "equal":
                found.update((one, "") for one in piece.true)
                found.update(("", one) for one in piece.read)
    return tuple(
        Confusion(true=true, read=read, times=times) for (true, read), times in found.most_common(MOST_CONFUSIONS)
    )


def name_length(text: str) -> str:
    """The bucket of a text's length, as `21-80`."""
    low = 0
    for high in _BUCKETS:
        if len(text) <= high:
            return f"{low}-{high}"
        low = high + 1
    return f"{low} and more"


def name_script(text: str) -> str:
    """The script of most letters, by Unicode's names: LATIN, CYRILLIC, CJK, ...; "none" for a text without letters."""
    names = Counter(unicodedata.name(letter, "UNKNOWN").partition(" ")[0] for letter in text if letter.isalpha())
    return names.most_common(1)[0][0] if names else "none"
