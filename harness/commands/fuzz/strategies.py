"""What is drawn: pages of every size and mode that files have, and texts that people and scanners really produce.

Hypothesis is needed here and nowhere else. Everything shrinks towards one row, one small plain page and an empty text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from hypothesis import strategies as st

from preflight_ocr.harness.commands.fuzz.samples import Mode, Page, Sample, Sheet

MODES: tuple[Mode, ...] = get_args(Mode)
EXTREMES = ((1, 1), (2, 1), (1, 3), (1, 200), (201, 1), (1, 500), (28, 28), (4000, 1))
WORDS = (
    "a", " ", "\n", "read me", "туман", "Ёлка №5", "שלום עולם", "مرحبا", "٤٢", "漢字", "e\u0301", "a\u0328\u0301",
    "👩\u200d👩\u200d👧", "🏳️\u200d🌈", "\u202eabc\u202c", "\ufeff", "\x00", "\t", "\r\n", "<td>", "<|", "|>", "<",
    "▁", "Ġ", "##",
)  # fmt: skip


def draw_pages(*, ordinary: bool = False) -> st.SearchStrategy[Page]:
    """Pages from 1 x 1 to 4000 x 500 and 500 x 4000, most of them small, upright and RGB; or none that is too thin."""
    small, usual = st.integers(1, 90), st.integers(32, 700)
    sizes = [st.tuples(usual, usual), st.sampled_from(((64, 48), (4000, 500), (500, 4000)))]
    if not ordinary:
        sizes += [st.tuples(small, small), st.sampled_from(EXTREMES)]
    return st.builds(
        lambda size, mode, orientation, blank: Page(
            width=size[0], height=size[1], mode=mode, orientation=orientation, blank=blank
        ),
        st.one_of(*sizes),
        st.sampled_from(("RGB", "L", *MODES)),
        st.one_of(st.just(1), st.integers(1, 8)),
        st.sampled_from((False, False, False, True)),
    )


def draw_texts(typed: Sequence[str]) -> st.SearchStrategy[str]:
    """Texts of all scripts, empty and very long ones, with the tokens in `typed` written out inside them.

    Lone surrogates are left out: no file in UTF-8 can hold one.
    """
    anything = st.text(st.characters(codec="utf-8"), max_size=12)
    pieces = st.one_of(st.sampled_from(WORDS), anything, *([st.sampled_from(tuple(typed))] if typed else []))
    joined = st.lists(pieces, max_size=8).map("".join)
    return st.builds(lambda text, times: text * times, joined, st.sampled_from((1, 1, 1, 1, 40)))


def draw_samples(
    *, typed: Sequence[str], most_rows: int = 3, bare: bool = True, several: bool = True
) -> st.SearchStrategy[Sample]:
    """Batches of up to `most_rows`. `bare` allows rows without a page, `several` rows with two or three.

    Two batches in three hold ordinary pages only: one row that a collator may refuse hides all others.
    """
    texts = draw_texts(typed)
    usual = draw_pages(ordinary=True).map(lambda page: (page,))
    counts: list[st.SearchStrategy[tuple[Page, ...]]] = [draw_pages().map(lambda page: (page,))] * 4
    if bare:
        counts.append(st.just(()))
    if several:
        counts.append(st.lists(draw_pages(), min_size=2, max_size=3).map(lambda drawn: tuple(drawn)))

    def draw_rows(pages: st.SearchStrategy[tuple[Page, ...]]) -> st.SearchStrategy[list[Sheet]]:
        sheets = st.builds(lambda text, chosen: Sheet(text=text, pages=chosen), texts, pages)
        return st.lists(sheets, min_size=1, max_size=most_rows)

    rows = st.one_of(draw_rows(usual), draw_rows(usual), draw_rows(st.one_of(*counts)))
    return rows.map(lambda drawn: Sample(sheets=tuple(drawn)))
