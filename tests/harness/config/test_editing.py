from __future__ import annotations

import pytest

from preflight_ocr.harness.config.editing import CannotEdit, delete_key, rename_key, set_key

TEXT = """\
# mine
model: {base_model: m}   # flow
lora:
  rank: 8   # why 8
training:
  # steps
  save_steps: 500
  evaluation_strategy: "epoch"
"""


def test_a_key_is_renamed_and_nothing_else_is_touched():
    assert rename_key(TEXT, "lora.rank", "lora.r") == TEXT.replace("rank: 8", "r: 8")


def test_a_value_is_replaced_in_its_place():
    assert set_key(TEXT, "training.save_steps", 300) == TEXT.replace("500", "300")


def test_an_older_name_of_the_same_field_is_the_place():
    assert set_key(TEXT, "training.eval_strategy", "steps") == TEXT.replace('"epoch"', "steps")


@pytest.mark.parametrize(
    ("path", "value", "old", "new"),
    [
        ("lora.task_type", None, "  rank: 8", "  task_type: null\n  rank: 8"),
        ("model.revision", "abc", "{base_model", "{revision: abc, base_model"),
        ("training.remove_unused_columns", False, "  save_steps", "  remove_unused_columns: false\n  save_steps"),
    ],
)
def test_an_absent_key_is_added_in_the_style_of_its_section(path, value, old, new):
    assert set_key(TEXT, path, value) == TEXT.replace(old, new)


def test_an_absent_section_is_added_at_the_end():
    assert set_key(TEXT, "data.max_seq_length", 9) == TEXT + "data:\n  max_seq_length: 9\n"


@pytest.mark.parametrize(
    ("text", "old", "new"),
    [
        (TEXT, "lora.rank", "model.r"),
        (TEXT, "lora.nothing", "lora.r"),
        ("lora: {rank: 1, r: 2}", "lora.rank", "lora.r"),
    ],
)
def test_what_cannot_be_renamed_where_it_stands_is_refused(text, old, new):
    with pytest.raises(CannotEdit):
        rename_key(text, old, new)


def test_a_value_behind_an_anchor_that_others_use_is_refused():
    with pytest.raises(CannotEdit):
        set_key("training: &t {save_steps: 1}\noptimization: *t\n", "training.save_steps", 2)


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("training.save_steps", "  save_steps: 500\n", ""),
        ("training.evaluation_strategy", '  evaluation_strategy: "epoch"\n', ""),
        ("lora.rank", "lora:\n  rank: 8   # why 8\n", ""),
        ("model.base_model", "model: {base_model: m}   # flow\n", ""),
    ],
)
def test_a_key_is_deleted_with_its_line_and_the_last_of_a_section_with_the_section(path, old, new):
    assert delete_key(TEXT, path) == TEXT.replace(old, new)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("a: {b: 1, c: 2, d: 3}\n", "a: {b: 1, d: 3}\n"),
        ("a: {b: 1, c: 2}\n", "a: {b: 1}\n"),
        ("a: {c: [1, 2], b: 1}\n", "a: {b: 1}\n"),
        ("a:\n  c:\n    - 1\n    - 2\n  # kept\n  b: 1\n", "a:\n  # kept\n  b: 1\n"),
        ("a:\n  b: 1\n  c: |\n    one\n    two\nd: 1\n", "a:\n  b: 1\nd: 1\n"),
        ("a:\n  b: 1\n  c:\n    e: {f: 1}\nd: 1\n", "a:\n  b: 1\nd: 1\n"),
    ],
)
def test_a_deleted_key_takes_its_whole_value_with_it_and_no_more(text, left):
    assert delete_key(text, "a.c") == left


def test_a_key_that_is_not_there_cannot_be_deleted():
    with pytest.raises(CannotEdit):
        delete_key(TEXT, "lora.bias")
