"""The token strip: the tokens of a row as runs of like ones, coloured by role, with the landing map below them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from preflight_ocr.harness.facts import Batch, Facts, Landing, Row, Unknown
from preflight_ocr.harness.facts.illustrations import RowIllustration, TokenText
from preflight_ocr.reports.page.text import spell

ROLES: Mapping[str, str] = {
    "b": "BOS",
    "i": "image placeholder",
    "p": "prompt",
    "t": "target",
    "e": "EOS",
    ".": "padding",
    "?": "behind the EOS",
}

_SHORT: Mapping[str, str] = dict(zip(ROLES, ("BOS", "image", "prompt", "target", "EOS", "pad", "?"), strict=True))
_WIDEST = 40  # classes w1 to w40 of the style sheet, a quarter each
_ALIKE = 4  # from so many equal tokens in a row on, one stands for all


class Chip(msgspec.Struct, frozen=True, kw_only=True):
    """A token's text as it is shown, how many times it stands there, and the label's text where that is another."""

    text: str
    times: int
    label: str


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """Neighbouring tokens that are alike. `width` is a class of the style sheet, `role` an index into `ROLES`.

    `first` is the position of the first of `number` tokens, from 0; `chips` are their texts, empty where none is known.
    `wrong`: image features landed where none belongs, or did not where they do. `mislabelled`: a prompt, image or padding
    token is trained on, or a target or EOS token is not; a BOS may be either.
    """

    role: int
    name: str
    short: str
    label: str
    width: int
    first: int
    number: int
    trained: bool
    attended: bool
    landed: bool
    wrong: bool
    mislabelled: bool
    chips: tuple[Chip, ...] = ()

    @property
    def span(self) -> str:
        """The positions, as `12` or `3-41`."""
        return str(self.first) if self.number == 1 else f"{self.first}-{self.first + self.number - 1}"


class Strip(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the batch, ready to be drawn."""

    row: Row
    facts: str
    runs: tuple[Run, ...]
    notes: tuple[str, ...]
    looked: bool
    """Whether it was seen where image features land."""
    differs: bool
    """Whether something else is trained on than the row asks for and what ends it."""


def draw_strips(facts: Facts, shown: Sequence[RowIllustration] = ()) -> Iterator[Strip]:
    """One strip per row of the batch that was run; none where no batch was seen. `shown` spells the rows' tokens."""
    if isinstance(facts.collator, Unknown) or not isinstance(facts.collator.batch, Batch):
        return
    rows = facts.collator.batch.rows
    if isinstance(rows, Unknown):
        return
    landings: Mapping[int, Landing] = {}
    repaired: tuple[str, ...] = ()
    unseen = facts.unknown_on("forward.landing")
    if not isinstance(facts.forward, Unknown) and not isinstance(facts.forward.landing, Unknown):
        landings = {landing.row: landing for landing in facts.forward.landing}
        repaired = tuple(dict.fromkeys(repair.argument for repair in facts.forward.repairs))
    for index, row in enumerate(rows):
        texts = shown[index].tokens if index < len(shown) else ()
        yield _draw_strip(row, landings.get(index), repaired, texts, unseen.reason if unseen else "")


def _draw_strip(
    row: Row, landing: Landing | None, repaired: tuple[str, ...], texts: Sequence[TokenText], unseen: str
) -> Strip:
    length = len(row.roles)
    landed = landing.landed.ljust(length, "0") if landing else "0" * length
    trained = row.trained.ljust(length, "0")
    said = [f"{length} tokens", f"{row.count('i')} image placeholders", f"{trained.count('1')} trained"]
    if landing:
        features = "an unknown number of" if isinstance(landing.features, Unknown) else str(landing.features)
        said += [f"{features} features offered", f"{landing.landed.count('1')} landed"]
    notes = []
    if landing is None:
        notes.append(f"Where image features land in this row was not seen{': ' if unseen else ''}{unseen}.")
    elif repaired:
        notes.append(f"forward raised on this batch; the lane was seen after {', '.join(repaired)} had been replaced.")
    if row.marked and len(row.marked) != length:
        notes.append(f"The placement mask has length {len(row.marked)}, the row {length}.")
    if row.truncated:
        notes.append("This row was cut to max_seq_length.")
    if 0 < len(texts) < length:
        notes.append(f"Only the first {len(texts)} tokens are spelled out.")
    tokens = list(zip(row.roles, trained, row.attended.ljust(length, "1"), landed, strict=False))
    runs, first = [], 0
    for key, group in itertools.groupby(tokens):
        number = sum(1 for _ in group)
        runs.append(_draw_run(key, first, number, bool(landing), texts[first : first + number]))
        first += number
    return Strip(
        row=row,
        facts=", ".join(said),
        runs=tuple(runs),
        notes=tuple(notes),
        looked=landing is not None,
        differs=_differs(row, trained),
    )


def _differs(row: Row, trained: str) -> bool:
    beside = any(flag == "1" and role not in "te" for role, flag in zip(row.roles, trained, strict=False))
    return beside or row.target_text.strip() not in row.supervised_text


def _draw_run(key: tuple[str, str, str, str], first: int, number: int, looked: bool, texts: Sequence[TokenText]) -> Run:
    role, trained, attended, landed = key[0], key[1] == "1", key[2] == "1", key[3] == "1"
    known = role if role in ROLES else "?"
    wrong = looked and landed != (role == "i")
    mislabelled = (known in "ip." and trained) or (known in "te" and not trained)
    said = [f"{number} x {ROLES[known]}"]
    said += ["trained on"] * trained + ["wrongly" if trained else "wrongly masked"] * mislabelled
    said += ["image features landed"] * landed
    return Run(
        role=list(ROLES).index(known),
        name=ROLES[known],
        short=f"{_SHORT[known]} {number}" if number > 1 else _SHORT[known],
        label=f"{', '.join(said)}{' (wrong)' if wrong else ''}",
        width=max(1, min(_WIDEST, round(4 * math.log2(number + 1)))),
        first=first,
        number=number,
        trained=trained,
        attended=attended,
        landed=landed,
        wrong=wrong,
        mislabelled=mislabelled,
        chips=tuple(_spell_run(texts)),
    )


def _spell_run(texts: Sequence[TokenText]) -> Iterator[Chip]:
    """The tokens' texts, many equal ones in a row as one."""
    for token, group in itertools.groupby(texts):
        times = sum(1 for _ in group)
        label = spell(token.label) if token.label else ""
        for _ in range(1 if times >= _ALIKE else times):
            yield Chip(text=spell(token.text), times=times if times >= _ALIKE else 1, label=label)
