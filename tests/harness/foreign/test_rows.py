"""What a row holds, in the forms that people write."""

from __future__ import annotations

import pytest

from preflight_ocr.harness.foreign.rows import find_target, is_known, list_pages

PARTS = [{"type": "image", "image": "a.png"}, {"type": "text", "text": "Read."}]
CHAT = [{"role": "user", "content": PARTS}, {"role": "assistant", "content": [{"type": "text", "text": "one"}]}]
TURNS = [{"from": "human", "value": "<image>Read."}, {"from": "gpt", "value": "one"}]


@pytest.mark.parametrize(
    "row",
    [
        {"image_path": "a.png", "text": "one"},
        {"messages": CHAT},
        {"messages": [CHAT[0] | {"content": "Read."}, {"role": "assistant", "content": "one"}], "images": ["a.png"]},
        {"conversations": TURNS, "image": "a.png"},
        {"file_name": "a.png", "ground_truth": '{"gt_parse": {"text_sequence": "one"}}'},
        {"image": {"path": "a.png", "bytes": None}, "question": "What?", "answer": "one"},
        {"image": "a.png", "prefix": "OCR", "suffix": "one"},
    ],
)
def test_page_and_text_are_found_in_every_form(row):
    assert (list_pages(row), find_target(row), is_known(row)) == (("a.png",), "one", True)


def test_a_form_that_is_not_known_is_not_guessed():
    row = {"scan": "a.png", "written": "one"}
    assert (list_pages(row), find_target(row), is_known(row)) == ((), None, False)


def test_a_chat_without_an_answer_has_no_text():
    assert find_target({"messages": CHAT[:1]}) is None


def test_all_that_the_assistant_says_is_the_text_and_pages_keep_their_order():
    asked = {"role": "user", "content": [*PARTS, {"type": "image", "image": "b.png"}]}
    row = {
        "messages": [asked, *CHAT[1:], {"role": "user", "content": "More."}, {"role": "assistant", "content": "two"}]
    }
    assert (list_pages(row), find_target(row)) == (("a.png", "b.png"), "one\ntwo")
