"""Tokenizer files, planted."""

from __future__ import annotations

import json

import pytest

from preflight_ocr.harness.facts import Facts, Token, Tokenizer, Unknown
from preflight_ocr.probes.reading.tokenizer import look_at_tokenizer

SETTINGS = {
    "tokenizer_class": "TinyFast",
    "bos_token": {"content": "<s>"},
    "eos_token": "</s>",
    "padding_side": "left",
    "add_bos_token": True,
}
TOKENIZER = {
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": [["a", "b"]]},
    "added_tokens": [{"id": 2, "content": "<s>"}, {"id": 3, "content": "</s>"}, {"id": 7, "content": "<image>"}],
}


def look(plant, **files) -> Tokenizer | Unknown:
    everything = {"tokenizer_config.json": SETTINGS, "tokenizer.json": TOKENIZER, "config.json": {}, **files}
    return look_at_tokenizer(plant({f"model/{name}": content for name, content in everything.items()}) / "model")


def test_special_tokens_come_with_their_ids_and_the_length_is_the_highest_id_plus_one(plant):
    seen = look(plant, **{"special_tokens_map.json": {"pad_token": "<pad>"}})
    assert seen == Tokenizer(
        declared_class="TinyFast",
        length=8,
        bos=Token(content="<s>", id=2),
        eos=Token(content="</s>", id=3),
        pad=Token(content="<pad>", id=None),
        image=Token(content="<image>", id=7),
        adds_bos=True,
        padding_side="left",
        chat_templates=(),
    )


def test_a_vocabulary_of_pieces_is_counted(plant):
    unigram = {"model": {"type": "Unigram", "vocab": [["a", -1.0], ["b", -2.5]]}, "added_tokens": []}
    seen = look(plant, **{"tokenizer.json": unigram})
    assert isinstance(seen, Tokenizer)
    assert seen.length == 2


def test_an_image_token_that_is_not_in_the_vocabulary_has_no_id(plant):
    seen = look(plant, **{"processor_config.json": {"image_token": "<picture>"}})
    assert isinstance(seen, Tokenizer)
    assert seen.image == Token(content="<picture>", id=None)


def test_config_json_may_give_the_image_token_by_its_number(plant):
    seen = look(plant, **{"config.json": {"image_token_index": 1}})
    assert isinstance(seen, Tokenizer)
    assert seen.image == Token(content="b", id=1)


def test_two_tokens_that_look_like_images_are_not_guessed_between(plant):
    added = [{"id": 5, "content": "<image>"}, {"id": 6, "content": "<|imgpad|>"}]
    seen = look(plant, **{"tokenizer.json": {**TOKENIZER, "added_tokens": added}})
    assert isinstance(seen, Tokenizer)
    assert seen.image is None


def test_a_post_processor_that_puts_bos_in_front_counts_as_adding_it(plant):
    post = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}]}
    settings = {key: value for key, value in SETTINGS.items() if key != "add_bos_token"}
    seen = look(plant, **{"tokenizer_config.json": settings, "tokenizer.json": {**TOKENIZER, "post_processor": post}})
    assert isinstance(seen, Tokenizer)
    assert seen.adds_bos
    seen = look(plant, **{"tokenizer_config.json": settings})
    assert isinstance(seen, Tokenizer)
    assert not seen.adds_bos


def test_chat_templates_are_named_by_where_they_stand(plant):
    settings = {**SETTINGS, "chat_template": [{"name": "default", "template": "x"}]}
    seen = look(plant, **{"tokenizer_config.json": settings, "chat_template.json": {"chat_template": "y"}})
    assert isinstance(seen, Tokenizer)
    assert [template.place for template in seen.chat_templates] == [
        "tokenizer_config.json:default",
        "chat_template.json",
    ]


def test_one_template_written_in_two_files_is_one_template(plant):
    settings = {**SETTINGS, "chat_template": "{{ messages }}"}
    files = {"tokenizer_config.json": settings, "chat_template.jinja": "{{ messages }}\n"}
    seen = look(plant, **files, **{"chat_template.json": {"chat_template": "{{ messages }}"}})
    assert isinstance(seen, Tokenizer)
    assert len(seen.chat_templates) == 3
    assert len({template.sha256 for template in seen.chat_templates}) == 1


@pytest.mark.parametrize(
    ("template", "walks"),
    [
        ("{% for m in messages %}{{ m['content'] + '!' }}{% endfor %}", False),
        ("{% for m in messages %}{{ m.content }}{% endfor %}", False),
        ("{% for m in messages %}{% for part in m['content'] %}{{ part.text }}{% endfor %}{% endfor %}", True),
        ("{%- set content = m.content -%}{%- for item in content -%}{{ item.text }}{%- endfor -%}", True),
        ("{{ (m['content'] | selectattr('type', 'equalto', 'text') | first).text }}", True),
    ],
)
def test_a_template_that_goes_through_the_parts_of_a_message_is_told_from_one_that_does_not(plant, template, walks):
    seen = look(plant, **{"tokenizer_config.json": {**SETTINGS, "chat_template": template}})
    assert isinstance(seen, Tokenizer)
    assert seen.chat_templates[0].walks_parts is walks


@pytest.mark.parametrize(
    ("name", "junk"),
    [("chat_template.json", b"\xff\x00"), ("chat_template.json", "[]"), ("chat_template.jinja", b"{{ \xff }}")],
)
def test_a_template_file_that_cannot_be_read_is_unknown_and_named(plant, name, junk):
    seen = look(plant, **{"tokenizer_config.json": {**SETTINGS, "chat_template": "x"}, name: junk})
    assert isinstance(seen, Unknown) and seen.cause == "unreadable file"
    assert name in seen.reason


def test_a_template_file_without_a_template_is_a_template_that_differs(plant):
    settings = {**SETTINGS, "chat_template": "x"}
    seen = look(plant, **{"tokenizer_config.json": settings, "chat_template.json": '{"chat_template": 3}'})
    assert isinstance(seen, Tokenizer)
    assert len({template.sha256 for template in seen.chat_templates}) == 2


def test_a_sentencepiece_model_alone_leaves_the_length_unknown_and_the_image_token_open(plant):
    folder = plant({"model/tokenizer.model": b"\n\x0e", "model/processor_config.json": {"image_token": "<image>"}})
    seen = look_at_tokenizer(folder / "model")
    assert isinstance(seen, Tokenizer)
    assert isinstance(seen.length, Unknown)
    assert seen.image is None


def test_a_folder_without_tokenizer_files_is_unknown(tmp_path):
    assert isinstance(look_at_tokenizer(tmp_path), Unknown)


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"])
@pytest.mark.parametrize("junk", [b"\xff\x00\x01", '{"a": \n\n oops}', b"[" * 500_000, "[]", "", '"text"'])
def test_a_broken_file_is_unknown_and_named(plant, name, junk):
    seen = look(plant, **{name: junk})
    assert isinstance(seen, Unknown)
    assert name in seen.reason


def test_a_bad_byte_where_nothing_is_asked_for_is_a_broken_file_too(plant):
    seen = look(plant, **{"tokenizer.json": b'{"model": {"vocab": {"a": 0}, "merges": [["\xc2", "b"]]}}'})
    assert isinstance(seen, Unknown) and seen.cause == "unreadable file"
    assert "tokenizer.json" in seen.reason


@pytest.mark.parametrize(
    "strange",
    [
        {"model": {"vocab": {"a": "x"}}},
        {"model": 7},
        {"added_tokens": {"a": 1}},
        {"model": {"vocab": {"a": 10**30}}},
    ],
)
def test_a_tokenizer_file_of_another_shape_is_unknown(plant, strange):
    assert isinstance(look(plant, **{"tokenizer.json": strange}), Unknown)


def test_strange_values_among_the_settings_are_survived(plant):
    strange = {
        "added_tokens_decoder": {"x": 1, "9": None, "10": {"content": 3}, "11": {"content": "<image>"}},
        "bos_token": 5,
        "extra_special_tokens": ["a"],
        "chat_template": 4,
    }
    seen = look(plant, **{"tokenizer_config.json": strange, "tokenizer.json": {}})
    assert isinstance(seen, Tokenizer)
    assert (seen.length, seen.image) == (12, Token(content="<image>", id=11))


@pytest.mark.parametrize(
    "values",
    [{"tokenizer_class": "\ud800"}, {"model_max_length": 10**30}, {"added_tokens_decoder": {"9" * 40: "<image>"}}],
)
def test_whatever_stands_in_the_files_the_facts_can_be_written_down(plant, values):
    text = json.dumps(values)
    seen = look(plant, **{"tokenizer_config.json": text, "config.json": {"image_token_id": 10**30}})
    assert Facts.from_json(Facts(tokenizer=seen).to_json()).tokenizer == seen
