"""What code sees of a card that is not there, and what is noted of what it does."""

from __future__ import annotations

import copy

import numpy
import pytest
import torch
from torch import nn

from preflight_ocr.probes.placement.functions import ELSEWHERE
from preflight_ocr.probes.placement.rules import ANYWHERE, CARD, CPU
from preflight_ocr.probes.placement.simulated_card import CAPABILITY, simulate

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="with an accelerator there is nothing to simulate")
card = torch.device("cuda", 0)


def on_card(*shape: int) -> torch.Tensor:
    return torch.ones(shape, device=card)


def test_a_tensor_says_where_it_would_be():
    with simulate():
        x, y = on_card(2), torch.ones(2)
        assert x.device == card and x.is_cuda and not x.is_cpu and x.get_device() == 0
        assert x.type() == "torch.cuda.FloatTensor"
        assert y.device.type == "cpu" and not y.is_cuda and y.get_device() == -1
    assert x.device.type == "cpu", "outside, nothing of it is left"


MOVES = {
    "cuda": lambda x: x.cuda(),
    "cuda of a card": lambda x: x.cuda(0),
    "to a name": lambda x: x.to("cuda"),
    "to a device and a dtype": lambda x: x.to(card, torch.float64),
    "to by keyword": lambda x: x.to(device="cuda:0", dtype=torch.float64, non_blocking=True),
    "to another tensor": lambda x: x.to(on_card(1)),
    "type_as": lambda x: x.type_as(on_card(1)),
    "type": lambda x: x.type("torch.cuda.FloatTensor"),
    "as_tensor": lambda x: torch.as_tensor(x, device="cuda"),
    "tensor of a tensor": lambda x: torch.tensor(x, device="cuda"),
    "new_ones": lambda x: x.new_ones(2, device=card),
    "ones_like": lambda x: torch.ones_like(x, device="cuda"),
}
KEEPS = {
    "view": lambda x: x.view(1, -1),
    "slice": lambda x: x[0:1],
    "detach": lambda x: x.detach(),
    "data": lambda x: x.data,
    "computed": lambda x: x * 2 + 1,
    "cast": lambda x: x.to(torch.float64),
    "half": lambda x: x.half(),
    "like": torch.zeros_like,
    "new_zeros": lambda x: x.new_zeros(3),
    "new_tensor": lambda x: x.new_tensor([1.0, 2.0]),
    "copied": copy.deepcopy,
    "as_tensor": torch.as_tensor,
    "tensor of a tensor": lambda x: torch.tensor(x),
    "parameter": lambda x: nn.Parameter(x),
    "softmax": lambda x: nn.functional.softmax(x, 0),
}
LEAVES = {
    "cpu": lambda x: x.cpu(),
    "to the cpu": lambda x: x.to("cpu"),
    "list": lambda x: torch.tensor(x.tolist()),
    "numbers": lambda x: torch.tensor([x[0], x[1]]),
    "item": lambda x: torch.tensor(x[0].item()),
    "zeros": lambda x: torch.zeros(x.shape),
    "counted": lambda x: torch.arange(x.sum()),
    "full": lambda x: torch.full((2,), x[0]),
}


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
def test_what_is_sent_to_the_card_is_there_and_what_it_was_sent_from_is_not(move):
    with simulate() as s:
        x = torch.ones(2)
        moved = move(x)
        assert s.find(moved).device == CARD and moved.device == card
        assert s.find(x).device == CPU, "the tensor itself stays where it was"
        moved.add_(1)
        assert x.tolist() == [1, 1]


@pytest.mark.parametrize("keep", KEEPS.values(), ids=KEEPS)
def test_what_comes_of_a_tensor_is_where_it_is(keep):
    with simulate() as s:
        assert s.find(keep(on_card(2))).device == CARD
        assert s.find(keep(torch.ones(2))).device == CPU
        assert not s.clashes


@pytest.mark.parametrize("leave", LEAVES.values(), ids=LEAVES)
def test_what_leaves_the_card_is_on_the_cpu(leave):
    with simulate() as s:
        assert s.find(leave(on_card(2))).device == CPU


CONSTRUCTED = {
    "tensor": lambda: torch.tensor([1, 2]),
    "old type": lambda: torch.LongTensor([1, 2]),
    "from numpy": lambda: torch.from_numpy(numpy.ones(2)),
    "as_tensor of numpy": lambda: torch.as_tensor(numpy.ones(2)),
    "arange": lambda: torch.arange(3),
    "randn": lambda: torch.randn(3),
    "eye": lambda: torch.eye(3),
}


@pytest.mark.parametrize("construct", CONSTRUCTED.values(), ids=CONSTRUCTED)
def test_what_is_made_of_numbers_is_on_the_cpu_with_the_line_that_made_it(construct):
    with simulate() as s:
        made = s.find(construct())
    assert made.device == CPU
    assert (
        made.origin is not None and made.origin.site is not None and made.origin.site.file == "test_simulated_card.py"
    )


def test_a_default_device_is_obeyed():
    with simulate() as s, torch.device("cuda"):
        assert s.find(torch.zeros(2)).device == CARD


def test_a_clash_is_written_down_once_with_its_line_and_where_the_stray_was_made():
    with simulate() as s:
        for _ in range(3):
            x, stray = on_card(4, 3), torch.zeros(3)
            mixed = x + stray
        assert s.find(mixed).device == CARD, "it goes on as if the stray had been moved"
    (clash,) = s.clashes.values()
    assert clash.operation == "add" and clash.times == 3
    assert clash.stray.argument == "other" and clash.stray.shape == (3,)
    assert clash.beside.argument == "self" and clash.beside.shape == (4, 3)
    assert clash.site is not None and clash.site.code == "mixed = x + stray"
    assert clash.stray.origin is not None and clash.stray.origin.call == "zeros"
    assert clash.stray.origin.site is not None and "torch.zeros(3)" in clash.stray.origin.site.code


def test_several_clashes_are_seen_in_one_run():
    with simulate() as s:
        x = on_card(2, 3) + torch.zeros(3)
        x = x @ torch.ones(3, 2)
        x.masked_fill_(torch.ones(2, 2, dtype=torch.bool), 0)
    assert [m.operation for m in s.clashes.values()] == ["add", "mm", "masked_fill_"]


def test_what_is_computed_of_a_stray_is_the_same_stray():
    with simulate() as s:
        places = torch.arange(3)
        shifted = (places + 1).float()
        on_card(3) * shifted
    (clash,) = s.clashes.values()
    assert clash.stray.origin is not None and clash.stray.origin.call == "arange"


def test_a_stray_that_was_written_to_is_not_blamed_again():
    with simulate() as s:
        total = torch.zeros(3)
        total += on_card(3)
        total += on_card(3)
        total + torch.ones(3)
    assert len(s.clashes) == 1


def test_what_is_made_out_of_sight_stands_in_nobodys_way():
    made_before = torch.ones(3)

    @torch.jit.script
    def scripted(x: torch.Tensor) -> torch.Tensor:
        return torch.zeros(3, device=x.device)

    with simulate() as s:
        assert s.find(made_before).device == ANYWHERE
        assert made_before.device == torch.device("cuda", ELSEWHERE)
        on_card(3) + made_before
        on_card(3) + scripted(on_card(3))
        on_card(3) + torch.zeros(3, device=made_before.device)
    assert not s.clashes and not s.undecided


def test_numpy_on_the_card_is_noted_and_on_the_cpu_is_not():
    with simulate() as s:
        on_card(2).cpu().numpy()
        assert not s.host_copies
        numpy.asarray(on_card(2))
        on_card(3).numpy()
    assert [copied.shape for copied in s.host_copies.values()] == [(2,), (3,)]


def test_waiting_for_the_card_is_counted_by_place():
    with simulate() as s:
        s.is_counting = True
        x, y = on_card(3), torch.ones(3)
        for n in range(3):
            x[n].item()
        x.tolist(), bool(x[0]), x.cpu(), y.tolist(), y[0].item()
    found = {(w.call, w.times) for w in s.list_waits()}
    assert found == {("item", 3), ("tolist", 1), ("item", 1), ("cpu", 1)}


def test_a_line_that_names_a_card_is_noted_and_one_that_asks_a_tensor_is_not():
    with simulate() as s:
        x = torch.ones(2).cuda()
        torch.zeros(2, device="cuda")
        torch.zeros(2).to(x.device)
        torch.zeros(2, device=x.device)
        torch.zeros(2).to(x)
    assert [(card.site.kind, card.owner) for card in s.named.values()] == [("Tensor.cuda", "user"), ("zeros", "user")]


def test_moving_a_model_moves_parameters_and_buffers_and_nothing_else():
    model = nn.Linear(2, 2)
    model.register_buffer("scale", torch.ones(2))
    model.table, weight, address = model.scale, model.weight, model.weight.data_ptr()
    with simulate() as s:
        s.is_moving_model = True
        model.to(CARD)
        s.is_moving_model = False
        assert s.find(model.weight).device == s.find(model.scale).device == CARD
        assert s.find(model.table).device == ANYWHERE, (
            "an attribute that was the same tensor as a buffer is left behind"
        )
    assert model.weight is weight and model.weight.data_ptr() == address, "the memory of weights is not doubled"


def test_autocast_for_a_card_casts_and_a_card_can_be_asked_what_it_can_do():
    with simulate():
        with torch.autocast("cuda", dtype=torch.bfloat16):
            assert (on_card(2, 2) @ on_card(2, 2)).dtype == torch.bfloat16
        assert torch.cuda.get_device_capability(card) == CAPABILITY


def test_what_only_a_card_has_a_kernel_for_is_computed_all_the_same():
    with simulate() as s:
        counts = torch.histc(torch.tensor([0, 1, 1], device=card, dtype=torch.int32), bins=2, min=0, max=1)
        assert counts.tolist() == [1, 2] and s.find(counts).device == CARD


def test_vmap_is_seen_through():
    with simulate() as s:
        keys, kept = on_card(4), on_card(4, 4)
        mask = torch.vmap(lambda row: (row > 0) & (keys > 0) & torch.ones((), dtype=torch.bool, device=keys.device))(
            kept
        )
        assert s.find(mask).device == CARD
    assert not s.clashes and not s.undecided


def test_another_real_device_is_left_alone():
    with simulate():
        assert torch.zeros(2, device="meta").device.type == "meta"
        assert torch.zeros(2).to("meta").is_meta
