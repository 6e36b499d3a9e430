from __future__ import annotations

import pytest
import torch

from preflight_ocr.harness.facts import Unknown
from preflight_ocr.harness.families.anatomy import read_anatomy
from preflight_ocr.probes.workbench.landing import read_landing, trace_landing
from tests.support import toys
from tests.support.toys import IMAGE, make_batch

LOCAL = [toys.Toy, toys.OutOfPlace, toys.Chosen, toys.Scaled, toys.Normalised, toys.Separated]
RIGHT = ["011000", "001100"]


def look(model, **changed):
    model.eval()
    batch = {**make_batch(), **changed}
    anatomy = read_anatomy(model)
    with trace_landing(model, anatomy) as trace, torch.no_grad():
        model(**batch)
    return read_landing(model, anatomy, batch, trace, image_token_id=IMAGE)


def landed(model, **changed):
    return [row.landed for row in look(model, **changed)]


def mask(*rows):
    return torch.tensor([[flag == "1" for flag in row] for row in rows])


@pytest.mark.parametrize("kind", LOCAL)
def test_features_are_seen_where_they_land_however_a_model_places_them(kind):
    assert landed(kind()) == RIGHT


@pytest.mark.parametrize("kind", LOCAL)
def test_a_shifted_mask_is_seen(kind):
    assert landed(kind(), marked=mask("001100", "000110")) == ["001100", "000110"]


@pytest.mark.parametrize("kind", LOCAL)
def test_images_that_never_arrive_land_nowhere(kind):
    assert landed(kind(), pixels=None) == ["000000", "000000"]


@pytest.mark.parametrize("kind", [toys.OutOfPlace, toys.Chosen, toys.Scaled, toys.Normalised])
def test_features_in_another_row_are_seen_there(kind):
    assert landed(kind(), marked=mask("000000", "111100")) == ["000000", "111100"]


@pytest.mark.parametrize("kind", [toys.Toy, toys.Chosen, toys.Normalised])
def test_a_mask_that_covers_everything_is_seen_to_overwrite_the_text(kind):
    many = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(3))
    assert landed(kind(), marked=mask("111111", "111111"), pixels=many) == ["111111", "111111"]


def test_a_mask_that_is_all_false_lands_nothing_although_features_are_offered():
    rows = look(toys.Toy(), marked=mask("000000", "000000"))
    assert [(row.landed, row.placeholders, row.features) for row in rows] == [("000000", 2, 2)] * 2


def test_features_are_counted_for_each_row_that_has_a_scatter_of_its_own():
    rows = look(toys.Toy(), pixels=torch.randn(2, 3, 3))
    assert [row.features for row in rows] == [3, 3]


def test_features_of_one_scatter_for_the_whole_batch_are_given_to_no_row():
    assert {row.features for row in look(toys.OutOfPlace())} == {Unknown(reason="1 scatters were seen for 2 rows")}


def test_as_many_whole_batch_scatters_as_rows_are_not_taken_for_one_each():
    class Twice(toys.OutOfPlace):
        def merge(self, embedded, marked, features):
            return super().merge(super().merge(embedded, marked, features), marked, features)

    assert all(isinstance(row.features, Unknown) for row in look(Twice()))


def test_a_scatter_with_named_arguments_is_counted():
    class Named(toys.Toy):
        def merge(self, embedded, marked, features):
            rows = zip(embedded, marked, features, strict=True)
            return torch.stack([torch.masked_scatter(row, mask=m[:, None], source=f) for row, m, f in rows])

    assert [row.features for row in look(Named())] == [2, 2]


def test_a_model_that_lengthens_its_sequence_is_not_judged():
    found = look(toys.Lengthened())
    assert isinstance(found, Unknown)
    assert "[2, 6, 8] became [2, 7, 8]" in found.reason


def test_a_model_that_mixes_positions_before_its_first_block_is_not_judged():
    found = look(toys.Mixed())
    assert isinstance(found, Unknown)
    assert "depends on the embeddings of others" in found.reason


def test_a_model_that_answers_differently_to_the_same_batch_is_not_judged():
    class Noisy(toys.Toy):
        def prepare(self, embedded):
            return embedded + torch.randn_like(embedded)

    assert isinstance(look(Noisy()), Unknown)


def test_half_precision_changes_nothing():
    for kind in (toys.Scaled, toys.Normalised):
        pixels = make_batch()["pixels"].bfloat16()
        assert landed(kind().bfloat16(), pixels=pixels) == RIGHT


def test_an_unchanged_model_is_not_run_again():
    calls = []
    model = toys.Toy()
    model.vision.register_forward_hook(lambda *_: calls.append(1))
    look(model)
    assert len(calls) == 1


def test_no_hook_is_left_behind():
    model = toys.Scaled()
    before = model(**make_batch())["logits"]
    look(model)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert torch.equal(before, model(**make_batch())["logits"])
