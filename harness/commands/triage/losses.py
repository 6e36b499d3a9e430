"""The numbers of a training log: what a loss or a gradient norm says by itself.

Every line `{'loss': 15.7, 'grad_norm': 0.0, ...}` counts, whether the values are numbers or text, in Python's or JSON's
spelling, in a progress bar, a notebook's table or a line of one's own. Only counts and first places are kept, so that a
log may be of any length.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import msgspec

from preflight_ocr.harness.commands.triage.recogniser import Cause, Weighed

_NUMBER = r"[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+|nan|NaN|NAN|-?inf(?:inity)?|-?Infinity)(?![\w.])"
_LOSS = re.compile(
    rf"(?<![\w./-])(?:(?P<scope>train|training|eval|evaluation|val|validation)[_ ])?[lL]oss['\"]?"
    rf"(?:\s*[:=]\s*['\"]?(?P<value>{_NUMBER})|\s(?P<plain>\d+\.\d+|nan|NaN)(?![\w.]))"
)
_NORM = re.compile(rf"\bgrad_norm['\"]?\s*[:=]\s*['\"]?(?P<value>{_NUMBER})")
_SIZE = re.compile(r"\bvocab(?:ulary)?(?:_size| size)['\"]?\s*(?:[:=]|is|of)\s*(?P<size>\d[\d,_]*)")
_UNIFORM = re.compile(r"\bln\(\s*vocab\w*\s*\)\s*(?:[:=]|is)\s*(?P<value>\d+(?:\.\d+)?)")
_TABLE_HEAD = re.compile(r"^\s*Step\s+Training Loss\b")
_TABLE_ROW = re.compile(rf"^\s*\d+\s+(?P<value>{_NUMBER})(?:\s|$)")

SMALLEST_VOCABULARY = 256  # one token for each byte: no tokenizer has fewer

_UNSUPERVISED = Cause(
    diagnosis="nothing_supervised",
    why="Every label is -100, so that the mean over no token is 0 or nan.",
    check="Print one row's labels and count those that are not -100.",
)
_WORSE = Cause(
    diagnosis="worse_than_guessing",
    why="The model does worse than a uniform guess over its vocabulary: it is not asked what it was trained for.",
    check="Decode one row's input and labels, and look where its image features land.",
)
_BEHIND = (
    Cause(
        diagnosis="broadcast_mask",
        why="A placement mask of one column overwrites the whole text with image features.",
        check="Print the shape of the mask: it must be as wide as input_ids.",
    ),
    Cause(
        diagnosis="missing_placeholders",
        why="The rows have no image placeholders, so that the features land elsewhere or nowhere.",
        check="Count the image tokens in one row's input_ids.",
    ),
    Cause(
        diagnosis="misscaled_loss",
        why="The printed loss is a sum over the accumulation steps in place of their mean.",
        check="Divide it by gradient_accumulation_steps: is it an ordinary loss then?",
    ),
)
_HALF = Cause(
    diagnosis="fp16_master_weights",
    why="Weights that are trained in float16 overflow.",
    check="Print the dtypes of the parameters that require a gradient.",
)
_GARBAGE = Cause(
    diagnosis="uninitialised_buffer",
    why="A buffer of the model holds uninitialised memory, as remote code written for an older transformers may have it.",
    check="Load the model twice and compare its buffers and its loss.",
)


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """What the numbers say, where it was first seen, on how many lines, and the causes, the likeliest first."""

    text: str
    line: int
    times: int
    causes: tuple[Weighed, ...]


class Losses:
    """What was seen of a log so far."""

    def __init__(self) -> None:
        self.count = 0  # losses read
        self.vocabulary: int | None = None  # what the text says of it, the largest where it says several
        self._first: tuple[float, int, str] | None = None
        self._broken = _Tally()  # 0, nan or infinite
        self._nans = 0
        self._nan_later = _Tally()
        self._norms = 0
        self._zero_norms = _Tally()
        self._nan_norms = _Tally()
        self._in_table = False

    def take(self, text: str, line: int) -> None:
        """One more line."""
        lowered = text.lower()
        if "vocab" in lowered:
            self._read_vocabulary(text)
        if self._in_table and (row := _TABLE_ROW.match(text)):
            self._note_loss(float(row["value"]), line, text)
            return
        self._in_table = bool(_TABLE_HEAD.match(text))
        loss = _LOSS.search(text) if "loss" in lowered else None
        norm = _NORM.search(text) if "grad_norm" in lowered else None
        if norm:
            self._note_norm(float(norm["value"]), line, text)
        if loss:
            value = float(loss["value"] or loss["plain"])
            # Trainer writes 0 for a nan unless told otherwise; the norm beside it gives it away.
            hidden = value == 0 and norm is not None and not math.isfinite(float(norm["value"]))
            self._note_loss(math.nan if hidden else value, line, text)

    def judge(self, vocabulary: int | None) -> Iterator[Observation]:
        """What is to be said in the end, for a vocabulary of so many tokens or, where it is None, of unknown size."""
        if self._first is None and not self._norms:
            return
        if self._broken.count and self._broken.count == self.count:
            yield self._broken.observe((_UNSUPERVISED, _HALF, _GARBAGE) if self._nans else (_UNSUPERVISED,))
            return
        yield from self._compare(vocabulary)
        if self._nan_later.count:
            yield self._nan_later.observe((_SOME_UNSUPERVISED, _CUT, _HALF))
        if self._norms and self._zero_norms.count == self._norms:
            yield self._zero_norms.observe((_FROZEN, _STARVED, _UNMATCHED))
        elif self._norms and self._nan_norms.count == self._norms:
            yield self._nan_norms.observe((_HALF, _GARBAGE))

    def ask(self, vocabulary: int | None) -> str:
        """What is still needed to judge the loss; empty where nothing is."""
        if vocabulary is not None or self._first is None:
            return ""
        loss = self._first[0]
        limit = math.exp(min(loss, 700)) if math.isfinite(loss) else 0
        if limit <= SMALLEST_VOCABULARY:
            return ""
        return (
            f"The first loss, {loss:g} (line {self._first[1]}), is worse than a uniform guess for a vocabulary of fewer "
            f"than {_show_size(limit)} tokens, and how many there are is not known. Give --vocabulary N or a CONFIG whose "
            "model is on this machine."
        )

    def _compare(self, vocabulary: int | None) -> Iterator[Observation]:
        if self._first is None or not vocabulary:
            return
        loss, line, _ = self._first
        uniform = math.log(vocabulary)
        if math.isfinite(loss) and loss > uniform:
            yield Observation(
                text=f"loss {loss:g}, where a uniform guess over {vocabulary} tokens has ln({vocabulary}) = {uniform:.2f}",
                line=line,
                times=1,
                causes=(Weighed(_WORSE, True), *(Weighed(cause, False) for cause in _BEHIND)),
            )

    def _note_loss(self, value: float, line: int, text: str) -> None:
        self.count += 1
        if self._first is None:
            self._first = (value, line, text)
        if value == 0 or not math.isfinite(value):
            self._broken.add(line, text)
            self._nans += value != 0
            if value != 0 and self._first[0] != 0 and math.isfinite(self._first[0]):
                self._nan_later.add(line, text)

    def _note_norm(self, value: float, line: int, text: str) -> None:
        self._norms += 1
        if value == 0:
            self._zero_norms.add(line, text)
        elif not math.isfinite(value):
            self._nan_norms.add(line, text)

    def _read_vocabulary(self, text: str) -> None:
        sizes = [int(re.sub(r"[,_]", "", size["size"])) for size in _SIZE.finditer(text)]
        sizes += [round(math.exp(min(float(found["value"]), 40))) for found in _UNIFORM.finditer(text)]
        self.vocabulary = max([*sizes, self.vocabulary or 0]) or None


class _Tally:
    """How often something was seen, and where first."""

    def __init__(self) -> None:
        self.count, self.line, self.text = 0, 0, ""

    def add(self, line: int, text: str) -> None:
        if not self.count:
            self.line, self.text = line, text
        self.count += 1

    def observe(self, causes: tuple[Cause, ...]) -> Observation:
        """Several things lead to such numbers, so none of them is certain."""
        return Observation(
            text=self.text.strip()[:300],
            line=self.line,
            times=self.count,
            causes=tuple(Weighed(c, False) for c in causes),
        )


_SOME_UNSUPERVISED = Cause(
    diagnosis="nothing_supervised",
    why="A batch came in which every label is -100: its loss is the mean over no token.",
    check="Look for rows without a target, or whose target was cut off.",
)
_CUT = Cause(
    diagnosis="truncated_image_tokens",
    why="A long row was cut before its target began, so that nothing in it is supervised.",
    check="Compare the longest row with max_length.",
)
_FROZEN = Cause(
    diagnosis="frozen_adapter",
    why="The loss has no gradient for anything that is trained: the adapter is outside its graph.",
    check="List the parameters that require a gradient and those that have one after backward.",
)
_STARVED = Cause(
    diagnosis="checkpointing_starves",
    why="Re-entrant gradient checkpointing cuts the adapters off from their gradient.",
    check="Set gradient_checkpointing_kwargs to use_reentrant: false.",
)
_UNMATCHED = Cause(
    diagnosis="unmatched_targets",
    why="target_modules reach only parts that get no gradient.",
    check="Print the names of the modules that got an adapter.",
)


def _show_size(limit: float) -> str:
    return f"{math.ceil(limit):,}" if limit < 1e9 else f"{limit:.1e}"
