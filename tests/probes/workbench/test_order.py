"""Rows are put into the order in which a collator that moves whole rows leaves them."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from preflight_ocr.probes.workbench.order import arrange


class Letters:
    """One token a letter."""

    def decode(self, ids: list[int]) -> str:
        return "".join(map(chr, ids))


def put_together(collate: Any) -> Any:
    return SimpleNamespace(
        collate=collate,
        seeded=lambda chosen, rows: chosen(rows),
        tokenizer=Letters(),
        is_encoder_decoder=False,
    )


def make_batch(texts: list[str], pages: list[int]) -> dict[str, torch.Tensor]:
    return {
        "input_ids": torch.tensor([list(map(ord, text.ljust(8))) for text in texts]),
        "pixel_values": torch.tensor(pages),
    }


def keep(rows: Any) -> dict[str, torch.Tensor]:
    return make_batch([text for text, _ in rows], [page for _, page in rows])


def sort_rows(rows: Any) -> dict[str, torch.Tensor]:
    return keep(sorted(rows, key=lambda row: -len(row[0])))


def sort_texts(rows: Any) -> dict[str, torch.Tensor]:
    return make_batch(sorted((text for text, _ in rows), key=len, reverse=True), [page for _, page in rows])


ROWS = [("one", 1), ("seventy", 2), ("eleven", 3)]


def arrange_with(collate: Any, rows: Any = ROWS) -> tuple[Any, ...]:
    return arrange(put_together(collate), rows, [(text,) for text, _ in rows])


def test_whole_rows_that_are_sorted_are_given_sorted():
    assert arrange_with(sort_rows) == (ROWS[1], ROWS[2], ROWS[0])


@pytest.mark.parametrize("collate", [keep, sort_texts], ids=["in its place", "texts without their pages"])
def test_rows_stay_where_they_are_if_the_collator_moves(collate):
    assert arrange_with(collate) == tuple(ROWS)


def test_rows_that_cannot_be_told_apart_stay_where_they_are():
    alike = [("seven", 1), ("seven", 2)]
    assert arrange_with(lambda rows: keep(rows[::-1]), alike) == tuple(alike)


def test_a_collator_that_raises_moves_nothing():
    assert arrange_with(lambda rows: 1 / 0) == tuple(ROWS)
