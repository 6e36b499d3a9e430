"""A row that is learnt by heart is written again; the corpus plants what keeps a model from it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from preflight_ocr.fixtures.corpus.plant import write_project
from preflight_ocr.harness.facts import Recital, Unknown
from preflight_ocr.harness.training.predict import list_ends
from preflight_ocr.probes.forward.runs import Run
from preflight_ocr.probes.learning import recital
from preflight_ocr.probes.learning.adapter import attach_plain
from preflight_ocr.probes.learning.recital import _choose, _cut_behind_end, _find_hindering, recite
from preflight_ocr.probes.workbench.assembly import Assembly

TOKENIZER = SimpleNamespace(eos_token_id=2)


@pytest.mark.parametrize(
    ("generation", "config", "ends"),
    [
        ([7, 8], 5, (7, 8)),
        (7, 5, (7,)),
        (None, 5, (5,)),
        (None, None, (2,)),
    ],
)
def test_texts_end_where_whoever_loads_the_model_stops(generation, config, ends):
    model = SimpleNamespace(
        generation_config=SimpleNamespace(eos_token_id=generation), config=SimpleNamespace(eos_token_id=config)
    )
    assert list_ends(model, TOKENIZER) == ends


def test_a_line_break_of_the_template_behind_the_end_is_not_asked_for():
    assert _cut_behind_end(Run(0, 4, (11, 12, 2, 13)), (2,)) == (11, 12, 2)
    assert _cut_behind_end(Run(0, 4, (11, 12)), (2,)) == ()


@pytest.fixture
def assembly(tmp_path):
    return Assembly(str(write_project(tmp_path / "project", [], model="qwen2_vl")), trust=True, folder=tmp_path)


def test_a_healthy_model_writes_the_row_and_stops(assembly):
    adapted = attach_plain(assembly)
    found = recite(assembly, adapted, adapted.get_base_model())
    assert isinstance(found, Recital), found
    assert found.read == found.wanted and len(found.wanted) > 8
    assert found.hindering == ()


class Slow(torch.nn.Module):
    """A model of which each step takes a second."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.seconds = 0.0

    def forward(self) -> SimpleNamespace:
        self.seconds += 1
        return SimpleNamespace(loss=self.weight.square().sum(), logits=torch.ones(1))


def learn_slowly(monkeypatch: pytest.MonkeyPatch, *, share: float):
    """What learning says of a slow row of which `share` is right from the first step on."""
    model = Slow()
    monkeypatch.setattr(recital, "_share_right", lambda *_: share)
    monkeypatch.setattr(recital, "time", SimpleNamespace(thread_time=lambda: model.seconds))
    return recital._learn(SimpleNamespace(), model, {})


def test_a_row_that_is_right_is_learnt_to_its_end_however_slow_a_step_is(monkeypatch):
    assert learn_slowly(monkeypatch, share=1.0) == recital.IN_A_ROW - 1


def test_a_slow_row_that_is_not_right_is_given_up_at_once(monkeypatch):
    found = learn_slowly(monkeypatch, share=0.5)
    assert found.reason == "one row was not known by heart within 6 s: 50% of it after 2 steps"


def test_of_pages_full_of_text_the_first_words_are_learnt(assembly, monkeypatch):
    full = tuple({**row, "text": "an old page that goes on " * 60} for row in assembly.sample)
    monkeypatch.setattr(assembly, "sample", full)
    adapted = attach_plain(assembly)
    found = recite(assembly, adapted, adapted.get_base_model())
    assert isinstance(found, Recital), found
    assert found.read == found.wanted and found.text.startswith("an old page that go")
    assert len(found.wanted) <= 24


def test_a_collator_that_takes_whole_texts_only_is_given_them(assembly, monkeypatch):
    whole = "an old page that goes on " * 5

    def collate(rows):
        if any(row["text"] != whole for row in rows):
            raise ValueError("not a whole page")
        return assembly.reference(rows)

    monkeypatch.setattr(assembly, "sample", tuple({**row, "text": whole} for row in assembly.sample))
    monkeypatch.setattr(assembly, "collate", collate)
    chosen = _choose(assembly)
    assert [row["text"] for _, row, _, _ in chosen] == [whole, whole]


def test_a_row_as_large_as_one_that_was_too_slow_is_not_tried(assembly, monkeypatch):
    tried = []
    monkeypatch.setattr(
        recital, "_learn", lambda parts, adapted, batch: tried.append(batch) or recital._TooSlow("slow")
    )
    small, large = {"pixels": torch.ones(2, 3)}, {"pixels": torch.ones(3, 3)}
    for batches, expected in ([[small, large], 1], [[large, small], 2]):
        tried.clear()
        monkeypatch.setattr(recital, "_choose", lambda parts, b=batches: tuple((0, {}, one, (5, 2)) for one in b))
        assert recite(assembly, None, None).reason == "slow"
        assert len(tried) == expected
    monkeypatch.setattr(recital, "_learn", lambda parts, adapted, batch: tried.append(batch) or Unknown(reason="hard"))
    tried.clear()
    monkeypatch.setattr(recital, "_choose", lambda parts: tuple((0, {}, one, (5, 2)) for one in (small, large)))
    assert recite(assembly, None, None).reason == "hard" and len(tried) == 2


def test_settings_of_a_model_whose_generate_does_not_work_were_not_tried(assembly, monkeypatch):
    inner = assembly.bare
    monkeypatch.setattr(inner.generation_config, "min_new_tokens", 60)
    monkeypatch.setattr(inner, "generate", None)
    assert isinstance(_find_hindering(assembly, inner, (1, 2), 0), Unknown)


def test_a_decoder_inside_the_configuration_is_asked_for_its_end():
    config = SimpleNamespace(eos_token_id=None, decoder=SimpleNamespace(eos_token_id=4))
    assert list_ends(SimpleNamespace(generation_config=None, config=config), TOKENIZER) == (4,)


def test_without_a_declared_family_a_row_is_asked_as_the_collator_calls_its_processor(tmp_path, monkeypatch):
    undeclared = Assembly(str(write_project(tmp_path / "project", [], model="qwen2_vl")), trust=True, folder=tmp_path)
    monkeypatch.setattr(Assembly, "reference", None)
    found = recite(undeclared, undeclared.bare, undeclared.bare)
    assert isinstance(found, Recital) and found.read == found.wanted, found
    prepared = undeclared.seeded(undeclared.collate, undeclared.sample[:1])  # before any processor could be listened to
    monkeypatch.setattr(undeclared, "collate", lambda rows: dict(prepared))
    found = recite(undeclared, undeclared.bare, undeclared.bare)
    assert isinstance(found, Unknown) and found.reason.startswith("no family declares this model")
    assert "calls no processor" in found.reason
