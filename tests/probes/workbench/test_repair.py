from __future__ import annotations

import types

import pytest
import torch

from preflight_ocr.harness.facts import Raised
from preflight_ocr.harness.families.anatomy import read_anatomy
from preflight_ocr.probes.workbench.calls import Seen
from preflight_ocr.probes.workbench.repair import repair, substitute
from tests.support.toys import IMAGE, Toy, make_batch

ROLES = {"input_ids": "tokens", "pixels": "pixels", "marked": "placement_mask"}


def parts_of(model):
    return types.SimpleNamespace(
        bare=model,
        anatomy=read_anatomy(model),
        family=types.SimpleNamespace(roles=ROLES),
        forward_names=("input_ids", "pixels", "marked", "labels"),
        image_token_id=IMAGE,
    )


def good():
    batch = make_batch()
    return {**batch, "marked": batch["input_ids"] == IMAGE}


def mend(**changed):
    return repair(parts_of(Toy()), {**good(), **changed}, good())


def test_a_batch_that_runs_is_left_alone():
    batch, repairs, seen = mend()
    assert (repairs, isinstance(seen, Seen)) == ((), True)
    assert batch.keys() == good().keys()


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("pixels", torch.zeros(2, 2, 7)),
        ("pixels", "a picture"),
        ("marked", torch.ones(2, 6)),
        ("pixels", torch.zeros(2, 1, 3)),
    ],
)
def test_the_argument_that_stops_forward_is_replaced_and_named(argument, value):
    batch, repairs, seen = mend(**{argument: value})
    assert isinstance(seen, Seen)
    assert [r.argument for r in repairs] == [argument]
    assert torch.equal(batch[argument], good()[argument])


def test_what_was_raised_is_kept_with_the_repair():
    _, (only,), _ = mend(marked=torch.ones(2, 6))
    assert "mask" in only.raised.message


def test_two_faults_one_behind_the_other_are_both_found():
    _, repairs, seen = mend(pixels="a picture", marked=torch.ones(2, 6))
    assert isinstance(seen, Seen)
    assert {r.argument for r in repairs} == {"pixels", "marked"}


def test_keys_that_forward_does_not_take_are_left_out():
    batch, repairs, seen = mend(pixel_values=torch.zeros(1))
    assert (repairs, isinstance(seen, Seen), "pixel_values" in batch) == ((), True, False)


def test_without_a_reference_the_exception_stays():
    batch = {**good(), "pixels": "a picture"}
    _, repairs, seen = repair(parts_of(Toy()), batch, None)
    assert (repairs, isinstance(seen, Raised)) == ((), True)


def test_a_model_that_always_raises_ends():
    class Broken(Toy):
        def forward(self, input_ids, pixels=None, marked=None, labels=None):
            raise RuntimeError("always")

    _, repairs, seen = repair(parts_of(Broken()), good() | {"marked": None}, good())
    assert isinstance(seen, Raised) and seen.message == "always"
    assert len(repairs) <= len(ROLES)


def test_a_mask_is_replaced_by_the_one_that_belongs_to_the_own_tokens():
    batch = good()
    shifted = {**batch, "input_ids": batch["input_ids"].roll(1, 1)}
    [mask] = substitute(parts_of(Toy()), "marked", shifted, batch).values()
    assert torch.equal(mask, shifted["input_ids"] == IMAGE)
    assert substitute(parts_of(Toy()), "pixels", shifted, batch)["pixels"] is batch["pixels"]


def test_tokens_are_replaced_together_with_all_that_runs_along_them():
    batch = good()
    assert substitute(parts_of(Toy()), "input_ids", {}, batch).keys() == {"input_ids", "marked"}
