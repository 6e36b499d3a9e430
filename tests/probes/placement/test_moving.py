"""A batch is moved by the installed Trainer itself; what it leaves behind is named."""

from __future__ import annotations

from collections import UserDict, namedtuple
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from transformers import BatchEncoding, BatchFeature

from preflight_ocr.probes.placement.moving import describe_type, list_returned, move_batch, walk_deep
from preflight_ocr.probes.placement.rules import CARD, CPU
from preflight_ocr.probes.placement.simulated_card import simulate

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="with an accelerator there is nothing to simulate")


@dataclass
class Page:
    pixels: Any
    name: str = "page"


class Slotted:
    __slots__ = ("pixels",)

    def __init__(self, pixels: Any) -> None:
        self.pixels = pixels


class Movable(Page):
    def to(self, device: Any, non_blocking: bool = False) -> Movable:
        return Movable(self.pixels.to(device))


Views = namedtuple("Views", "page crops")


class Frozen(Mapping[str, Any]):
    """A mapping that is built otherwise than from a dict."""

    def __init__(self, one: Any, two: Any) -> None:
        self.values_ = {"one": one, "two": two}

    def __getitem__(self, key: str) -> Any:
        return self.values_[key]

    def __iter__(self) -> Any:
        return iter(self.values_)

    def __len__(self) -> int:
        return 2


def t() -> torch.Tensor:
    return torch.ones(2)


MOVED = {
    "tensor": t,
    "list of pairs": lambda: [(t(), t()), (t(), None)],
    "dict of lists": lambda: {"a": [t()], "b": {"c": t()}},
    "UserDict": lambda: UserDict(a=t()),
    "BatchFeature": lambda: BatchFeature({"a": [t(), t()], "b": t()}),
    "BatchEncoding": lambda: BatchEncoding({"a": t()}),
    "with a method to": lambda: Movable(t()),
}
LEFT = {
    "dataclass": (lambda: Page(t()), ["x.pixels"], "test_moving.Page"),
    "list of dataclasses": (lambda: [Page([t(), t()])], ["x[0].pixels[0]", "x[0].pixels[1]"], "test_moving.Page"),
    "slots": (lambda: Slotted(t()), ["x.pixels"], "test_moving.Slotted"),
    "set": (lambda: {t()}, ["x{...}"], "set"),
    "dict in a dataclass": (lambda: Page({"a": t()}), ["x.pixels['a']"], "test_moving.Page"),
}


@pytest.mark.parametrize("make", MOVED.values(), ids=MOVED)
def test_what_trainer_takes_apart_is_moved(make):
    with simulate() as s:
        moved, unmoved = move_batch(s, {"x": make(), "n": 3, "text": "page"})
        assert unmoved == ()
        assert {s.find(held.tensor).device for held in walk_deep(moved)} == {CARD}
        assert moved["n"] == 3


@pytest.mark.parametrize(("make", "paths", "holder"), LEFT.values(), ids=LEFT)
def test_what_trainer_does_not_look_into_is_named_with_its_path(make, paths, holder):
    with simulate() as s:
        moved, unmoved = move_batch(s, {"x": make(), "y": t()})
        assert [entry.path for entry in unmoved] == paths
        assert {entry.holder for entry in unmoved} == {holder}
        assert unmoved[0].shape == (2,) and unmoved[0].dtype == "float32"
        assert s.find(moved["y"]).device == CARD


@pytest.mark.parametrize("make", [lambda: Frozen(t(), t())], ids=["mapping"])
def test_an_entry_at_which_trainer_raises_is_named_and_the_others_are_moved(make):
    with simulate() as s:
        moved, unmoved = move_batch(s, {"x": make(), "y": t()})
        (entry,) = unmoved
        assert entry.path == "x" and entry.raised is not None and entry.raised.type == "TypeError"
        assert s.find(moved["y"]).device == CARD
        assert s.find(moved["x"]["one"]).device == CARD, "forward can be looked at all the same"


def test_a_named_tuple_raises_in_trainer_as_it_does_there():
    with simulate() as s:
        _, (entry,) = move_batch(s, {"x": Views(t(), t())})
    assert entry.holder == "test_moving.Views" and entry.raised is not None


def test_the_batch_itself_stays_on_the_cpu():
    with simulate() as s:
        batch = {"x": [t()]}
        move_batch(s, batch)
        assert s.find(batch["x"][0]).device == CPU


def test_mixed_entries_are_told_by_their_path():
    with simulate() as s:
        moved, _ = move_batch(s, {"x": Page(t()), "y": t()})
        moved["y"] + moved["x"].pixels
    (clash,) = s.clashes.values()
    assert clash.stray.origin is not None and clash.stray.origin.name == "x.pixels"
    assert clash.beside.origin is not None and clash.beside.origin.name == "y"


def test_a_tensor_that_is_on_the_card_before_it_is_moved_is_listed_with_its_line():
    with simulate() as s:
        batch = {"x": [(t(), t().cuda())], "y": t()}
        (returned,) = list_returned(s, batch)
    assert returned.path == "x[0][1]"
    assert returned.site is not None and "t().cuda()" in returned.site.code


def test_an_object_that_holds_itself_is_walked_once():
    page = Page(t())
    page.name = page  # type: ignore[assignment]
    assert [held.path for held in walk_deep({"x": page})] == ["x.pixels"]


def test_types_are_told_by_module_and_name():
    assert describe_type(Page(t())) == "test_moving.Page"
    assert describe_type([1]) == "list"
