"""One mechanical change in Python source, and every other letter as it was."""

from __future__ import annotations

import pytest

from preflight_ocr.harness.config.python_editing import CannotEdit, rename_identifier, rename_keyword, set_keyword

SOURCE = """\
from peft import LoraConfig  # Ж: two bytes


def peft(config, model):
    return LoraConfig(r=8, name="Ж", task_type="SEQ_2_SEQ_LM", lora_alpha=16)
"""


def test_the_value_of_a_keyword_is_replaced_where_it_stands():
    assert set_keyword(SOURCE, 5, "task_type", "'CAUSAL_LM'") == SOURCE.replace('"SEQ_2_SEQ_LM"', "'CAUSAL_LM'")


def test_a_keyword_that_is_absent_is_added_at_the_end_of_its_call():
    text = 'with open(path, "w") as file:\n    pass\n'
    assert set_keyword(text, 1, "encoding", '"utf-8"', call="open").startswith(
        'with open(path, "w", encoding="utf-8") as'
    )
    assert set_keyword("open(\n    path,\n)\n", 1, "encoding", "1", call="open") == "open(\n    path, encoding=1\n)\n"


@pytest.mark.parametrize("text", ["x = 1\n", "f(task_type=1); g(task_type=2)\n", "def (:\n"])
def test_what_is_not_one_call_is_left_alone(text):
    with pytest.raises(CannotEdit):
        set_keyword(text, 1, "task_type", "None")


def test_a_name_is_renamed_in_code_and_not_in_text():
    text = "from t import Old\nx = Old.load('Old')  # Old\n"
    assert rename_identifier(text, "Old", "New") == "from t import New\nx = New.load('Old')  # Old\n"


def test_a_name_that_the_file_has_already_is_not_given_twice():
    with pytest.raises(CannotEdit, match="a name in this file already"):
        rename_identifier("from t import Old, New\n", "Old", "New")


def test_only_the_keyword_at_that_line_is_renamed():
    text = "Arguments(\n    evaluation_strategy=evaluation_strategy,\n)\n"
    assert "    eval_strategy=evaluation_strategy," in rename_keyword(text, 2, "evaluation_strategy", "eval_strategy")
    with pytest.raises(CannotEdit):
        rename_keyword("f(old=1, new=2)\n", 1, "old", "new")
