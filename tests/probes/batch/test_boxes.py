from __future__ import annotations

import pytest

from preflight_ocr.probes.batch.boxes import find_boxes

BOX = (10.0, 20.0, 30.0, 45.5)


@pytest.mark.parametrize(
    "text",
    [
        "Total [10, 20, 30, 45.5]",
        '{"bbox": [10,20,30,45.5], "text": "Total"}',
        "<|ref|>Total<|/ref|><|det|>[[10, 20, 30, 45.5]]<|/det|>",
        "<box>10, 20, 30, 45.5</box>",
        "<box>(10,20),(30,45.5)</box>",
        "<|box_start|>(10,20),(30,45.5)<|box_end|>",
    ],
)
def test_two_corners_are_a_box_in_each_of_its_forms(text):
    assert find_boxes(text) == (BOX,)


@pytest.mark.parametrize(
    "text",
    [
        "Paid 12.50, 13.00, 14.25, 15.00",
        "[2022, 2021, 2020, 2019]",
        "(10, 20), (30, 40)",
        "[1, 2, 3]",
        "[1, 2, 3, 4, 5]",
        "[30, 20, 10, 45]",
        "",
    ],
)
def test_other_numbers_are_none(text):
    assert find_boxes(text) == ()
