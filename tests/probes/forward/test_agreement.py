"""Training against generation, on real miniatures whose healthy batch is spoilt."""

from __future__ import annotations

import pytest
import torch

from preflight_ocr.fixtures.corpus.models import find_model_obstacle
from preflight_ocr.fixtures.corpus.plant import write_project
from preflight_ocr.harness.facts import Unknown
from preflight_ocr.probes.forward import agreement
from preflight_ocr.probes.forward.agreement import look_at_agreement
from preflight_ocr.probes.workbench.assembly import Assembly
from preflight_ocr.probes.workbench.calls import call, read_logits


@pytest.fixture(scope="module")
def assembled(tmp_path_factory):
    if obstacle := find_model_obstacle("gemma3"):
        pytest.skip(obstacle)
    folder = tmp_path_factory.mktemp("gemma3")
    return Assembly(write_project(folder / "project", [], model="gemma3"), trust=True, folder=folder / "modules")


@pytest.fixture
def look(assembled):
    def look(change=lambda batch: batch):
        batch = change(dict(assembled.seeded(assembled.collate, assembled.sample)))
        return look_at_agreement(assembled, batch, read_logits(call(assembled.bare, batch)))

    return look


def test_a_healthy_batch_agrees_with_and_without_a_cache(look):
    found = look()
    assert found.departing == () and found.mended_by == () and not found.packed
    assert max(*found.first, *found.along, *found.cached) < 1e-4
    assert found.target_tokens > len(found.first)


def test_an_entry_that_is_left_out_is_named(look):
    found = look(lambda batch: {name: value for name, value in batch.items() if name != "token_type_ids"})
    assert found.departing == (0, 1, 2) and found.mended_by == ("token_type_ids",)
    assert max(found.cached) < 1e-4


@pytest.fixture
def looking_ahead(monkeypatch):
    """Without labels the model lets the prompt see what stands behind it."""
    read = agreement._read_forced
    monkeypatch.setattr(
        agreement, "_read_forced", lambda *given: read(*given) + torch.linspace(-1, 1, read(*given).shape[-1])
    )


@pytest.mark.usefixtures("looking_ahead")
def test_where_forward_looks_ahead_what_generate_computes_is_the_reading(look):
    found = look()
    # Nothing is there that generation with a cache could be held against.
    assert found.departing == () and isinstance(found.cached, Unknown)
    without = look(lambda batch: {name: value for name, value in batch.items() if name != "token_type_ids"})
    assert without.departing == (0, 1, 2) and without.mended_by == ("token_type_ids",)


@pytest.mark.usefixtures("looking_ahead")
def test_where_generate_does_not_work_either_the_prompt_alone_is(look, assembled, monkeypatch):
    monkeypatch.setattr(assembled.bare, "generate", None)
    found = look()
    assert found.departing == () and isinstance(found.cached, Unknown)
    assert look(lambda batch: {name: value for name, value in batch.items() if name != "token_type_ids"}).departing


def test_pages_that_are_prepared_otherwise_are_not_its_business(look):
    assert look(lambda batch: {**batch, "pixel_values": batch["pixel_values"].flip(-1)}).departing == ()


def test_another_prompt_cannot_be_laid_beside_the_readings(look):
    def rewrite(batch):
        first = (batch["labels"] != -100).long().argmax(1)
        ids = batch["input_ids"].clone()
        ids[torch.arange(len(ids)), first - 1] += 1
        return {**batch, "input_ids": ids}

    found = look(rewrite)
    assert isinstance(found, Unknown) and "another prompt" in found.reason


def test_a_row_without_labels_leaves_no_telling_whose_is_whose(look):
    def unlabel(batch):
        labels = batch["labels"].clone()
        labels[0] = -100
        return {**batch, "labels": labels}

    found = look(unlabel)
    assert isinstance(found, Unknown) and "2 supervised runs" in found.reason
