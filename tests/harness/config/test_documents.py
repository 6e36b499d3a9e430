from __future__ import annotations

import os
import string
import time

import pytest

from preflight_ocr.harness.config.config import load_config
from preflight_ocr.harness.config.documents import BrokenYaml, parse_yaml
from preflight_ocr.harness.config.errors import ConfigError


def _laugh(levels: int, form: str) -> str:
    lines = ["a: &a [1, 2, 3, 4, 5, 6, 7, 8, 9]"]
    for before, name in zip(string.ascii_lowercase, string.ascii_lowercase[1 : levels + 1], strict=False):
        inside = ", ".join([f"*{before}"] * 9) if form == "list" else ", ".join(f"k{n}: *{before}" for n in range(9))
        lines.append(f"{name}: &{name} " + (f"[{inside}]" if form == "list" else f"{{{inside}}}"))
    return "\n".join(lines)


@pytest.mark.parametrize("form", ["list", "section"])
def test_aliases_that_expand_are_refused_with_their_line_before_anything_is_built(form):
    started = time.process_time()
    with pytest.raises(BrokenYaml, match=r"more than 100,000 entries") as raised:
        parse_yaml(_laugh(20, form))
    assert raised.value.line is not None
    assert time.process_time() - started < 5


def test_an_alias_that_is_used_twice_is_nothing_to_refuse():
    assert parse_yaml("a: &a [1]\nb: [*a, *a]") == ({"a": [1], "b": [[1], [1]]}, {"a": 1, "b": 2})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &a [*a]", "inside what it stands for"),
        ("a: &a {<<: *a}", "inside what it stands for"),
        ("until: 2030-13-01", "month must be in 1..12"),
        ("a: !!bool maybe", "maybe"),
        ("a: !!timestamp x", "timestamp"),
        ('a: !!int ""', "int"),
        ("a: 0x" + "f" * 5000, "5,002 characters"),
        ('a: "\\ud800"', "surrogate"),
        ("[" * 5000, "nested too deep"),
    ],
)
def test_a_value_that_cannot_be_one_is_named(text, said):
    with pytest.raises(BrokenYaml, match=said):
        parse_yaml(text)


def test_two_halves_that_belong_together_are_one_letter():
    assert parse_yaml('a: "\\ud83d\\ude00"')[0] == {"a": "😀"}


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("lora", "r", "-3"),
        ("lora", "r", "100000000000"),
        ("lora", "lora_dropout", ".nan"),
        ("lora", "rank_pattern", "{q: -1}"),
        ("training", "num_train_epochs", ".nan"),
        ("training", "num_train_epochs", ".inf"),
        ("training", "learning_rate", ".inf"),
        ("training", "weight_decay", "-1"),
        ("optimization", "learning_rate", "-0.1"),
        ("budget", "vram_gb", ".inf"),
        ("budget", "vram_gb", "-.inf"),
        ("budget", "vram_gb", ".nan"),
        ("data", "max_seq_length", "0"),
        ("early_stopping", "patience", "-1"),
    ],
)
def test_a_number_out_of_its_range_is_refused_by_its_key(tmp_path, section, key, value):
    path = tmp_path / "project.yaml"
    path.write_text(f"model: {{base_model: .}}\n{section}:\n  {key}: {value}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=rf"project\.yaml:3: `{section}\.{key}` is .*, expected"):
        load_config(path)


@pytest.mark.parametrize("value", ["~nosuchuser/x", "/" + "n" * 300, "'a\\0b'", '"a\\0b"', "/dev/zero", "/dev/stdin"])
def test_a_path_that_cannot_be_one_is_no_traceback(tmp_path, value):
    path = tmp_path / "project.yaml"
    path.write_text(f"model: {{base_model: {value}}}\ndata: {{train_path: {value}}}\n", encoding="utf-8")
    assert load_config(path).given


def test_a_path_that_is_not_utf8_says_what_to_rename(tmp_path):
    path = tmp_path / "f\udcff.yaml"
    path.write_text("model: {base_model: .}", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"not UTF-8 .*f\\xff.*rename"):
        load_config(path)


def test_a_pipe_in_place_of_the_configuration_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "project.yaml")
    with pytest.raises(ConfigError, match="is a pipe"):
        load_config(tmp_path / "project.yaml")


def test_a_key_that_stands_twice_is_refused_with_both_lines():
    with pytest.raises(BrokenYaml, match="`data` stands twice, first in line 1") as caught:
        parse_yaml("data: {a: 1}\nmodel: {}\ndata: {b: 2}\n")
    assert caught.value.line == 3
