"""Rows that a collator leaves out when a page is not there, whatever form the rows have."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from preflight_ocr.probes.batch.collator import _count_swallowed


def seeded(collate, rows):
    return collate(rows)


def test_a_row_that_is_a_tuple_is_asked_for_no_column():
    """As Lightning's examples yield them: a picture's file, and what stands beside it."""
    parts = SimpleNamespace(lose_page=lambda row: ("no such page.png", row[1]), seeded=seeded)
    parts.collate = lambda rows: {"input_ids": torch.ones(sum(name == "page.png" for name, _ in rows), 3)}
    assert _count_swallowed(parts, [("page.png", {"suffix": "a text"})]) == 1


def test_a_collator_that_raises_leaves_nothing_out():
    parts = SimpleNamespace(lose_page=lambda row: ("no such page.png", row[1]), seeded=seeded, collate=[].index)
    assert _count_swallowed(parts, [("page.png", {})]) == 0
