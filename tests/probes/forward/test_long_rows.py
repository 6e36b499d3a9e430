"""Rows as long as a written page: what is no matter of length is asked of their first words, the rest of the whole rows."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from PIL import Image

from preflight_ocr.fixtures.corpus.plant import write_project
from preflight_ocr.harness.facts import Unknown
from preflight_ocr.harness.training.redirects import redirect_cuda
from preflight_ocr.probes.forward import forward
from preflight_ocr.probes.workbench import assembly
from preflight_ocr.probes.workbench.assembly import FIRST_WORDS, SMALL, Assembly, shorten_alike


@pytest.fixture
def parts(tmp_path, monkeypatch):
    """A healthy project with texts of 200 and 400 words, and rows that are called long from 300 tokens on."""
    path = write_project(tmp_path / "project", [], model="deepseek_ocr")
    for file in path.parent.rglob("metadata.json"):
        rows = json.loads(file.read_text(encoding="utf-8"))
        longer = [{**row, "text": "so it goes " * (200 + 200 * (number % 2))} for number, row in enumerate(rows)]
        file.write_text(json.dumps(longer), encoding="utf-8")
    monkeypatch.setattr(assembly, "LONG", 300)
    return Assembly(path, trust=True, folder=tmp_path)


def look(parts):
    with redirect_cuda():
        return forward.look_at_forward(parts)


def watch(monkeypatch, name):
    """The lengths of the batches that one of the looks is given."""
    seen, ours = [], getattr(forward, name)
    monkeypatch.setattr(
        forward,
        name,
        lambda parts, *given, **named: (
            seen.append(max(one["input_ids"].shape[1] for one in given if isinstance(one, dict)))
            or ours(parts, *given, **named)
        ),
    )
    return seen


def test_agreement_is_of_the_whole_rows_and_behaviour_and_placement_of_their_first_words(parts, monkeypatch):
    whole = parts.reference(parts.sample)["input_ids"].shape[1]
    asked = {name: watch(monkeypatch, f"look_at_{name}") for name in ("agreement", "behaviour", "placement")}
    rows = parts.sample
    facts = look(parts)
    assert asked["agreement"] == [whole]
    assert asked["behaviour"] == asked["placement"] and asked["behaviour"][0] < whole - 100
    assert parts.sample == rows
    assert set(facts.behaviour.image_reaches) == {True} and facts.behaviour.image_leaks == ()
    assert facts.behaviour.padding_changes is False
    assert facts.positions.rows[0].tokens > 300
    assert not [
        f
        for f in msgspec.structs.fields(type(facts.placement))
        if isinstance(getattr(facts.placement, f.name), Unknown)
    ]


def test_of_a_model_that_was_cut_all_of_it_is_of_two_short_rows_with_small_pages(parts, monkeypatch):
    monkeypatch.setattr(forward, "give_freed_memory_back", lambda: None)
    built = msgspec.structs.replace(parts.built, cut=("layers: 3 -> 2",))
    vars(parts)["built"] = built
    asked = {name: watch(monkeypatch, f"look_at_{name}") for name in ("agreement", "behaviour", "placement")}
    facts = look(parts)
    assert len(set(asked["agreement"] + asked["behaviour"])) == 1 and asked["agreement"][0] < 1000
    assert facts.behaviour.image_reaches == (True, None)


def test_a_collator_that_does_not_take_shorter_rows_is_given_the_whole_ones(parts, monkeypatch):
    ours, longest = parts.reference, max(len(row["text"]) for row in parts.sample)

    def collate(rows):
        if max(len(row["text"]) for row in rows) < longest:
            raise ValueError("not a whole batch")
        return ours(rows)

    vars(parts)["collate"] = collate
    parts._collator_name = "subject.collator"
    monkeypatch.setattr(type(parts), "collate", property(lambda self: collate))
    asked = watch(monkeypatch, "look_at_placement")
    look(parts)
    assert asked and asked[0] >= 512


def test_texts_are_cut_by_one_factor():
    rows = [{"text": "a" * 1600}, {"text": "b" * 800}, {"text": ""}]
    assert [len(row["text"]) for row in shorten_alike(rows, FIRST_WORDS)] == [160, 80, 0]
    assert shorten_alike(rows[1:], 900) == tuple(rows[1:])


def test_small_copies_are_made_of_the_pages_of_a_model_that_was_cut_only(parts, tmp_path):
    Image.new("RGB", (2000, 1000), "white").save(tmp_path / "page.png")
    row = {"image_path": str(tmp_path / "page.png"), "text": "short"}
    assert parts.shorten_rows([row]) == (row,)
    vars(parts)["built"] = msgspec.structs.replace(parts.built, cut=("layers: 3 -> 2",))
    (small,) = parts.shorten_rows([row])
    with Image.open(small["image_path"]) as page:
        assert page.size == (SMALL, SMALL // 2)
    gone = {**row, "image_path": str(tmp_path / "gone.png")}
    assert parts.shorten_rows([gone, {"text": "none"}]) == (gone, {"text": "none"})
    several = {**row, "image_path": [row["image_path"]] * 2}
    assert parts.shorten_rows([several]) == (several,)
    assert Path(row["image_path"]).exists()
