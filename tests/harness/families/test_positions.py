from __future__ import annotations

import pickle
from types import SimpleNamespace

import torch
from torch import nn

from preflight_ocr.harness.families.positions import RopePositions, find_positions


class Leaves(nn.Module):
    """A model whose generation alone asks for positions, as Qwen2-VL of transformers 4.46 does."""

    def __init__(self):
        super().__init__()
        self.config = SimpleNamespace(merge=2)

    def get_rope_index(self, input_ids, image_grid_thw=None, attention_mask=None):
        return self._number(input_ids).expand(3, *input_ids.shape), None

    def _number(self, input_ids):
        return torch.arange(input_ids.shape[1]) * self.config.merge

    def forward(self, input_ids, position_ids=None):
        return input_ids

    def prepare_inputs_for_generation(self, input_ids):
        return self.get_rope_index(input_ids)


class Computes(Leaves):
    def _place(self, input_ids):
        return self.get_rope_index(input_ids)[0]

    def forward(self, input_ids, position_ids=None):
        return self._place(input_ids) if position_ids is None else position_ids


class TakesNone(Leaves):
    def forward(self, input_ids):
        return input_ids


class Outer(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.model = inner

    def forward(self, input_ids, position_ids=None):
        return self.model(input_ids, position_ids)


def test_a_forward_that_reaches_its_positions_through_its_own_methods_is_left_to_itself():
    assert find_positions(Computes()) is None
    assert find_positions(Outer(Computes())) is None


def test_a_model_without_such_positions_and_a_forward_that_takes_none_are_given_none():
    assert find_positions(nn.Linear(2, 2)) is None
    assert find_positions(TakesNone()) is None


def test_a_forward_that_does_not_compute_them_is_handed_what_generation_computes():
    found = find_positions(Outer(Leaves()))
    batch = {"input_ids": torch.zeros((2, 4), dtype=torch.long), "pixel_values": torch.zeros(1)}
    assert found is not None and found.owner is Leaves
    assert found(batch).tolist() == [[[0, 2, 4, 6]] * 2] * 3


def test_what_computes_them_holds_no_weights_and_goes_to_a_worker():
    sent = pickle.loads(pickle.dumps(RopePositions(Leaves, SimpleNamespace(merge=1))))
    assert sent({"input_ids": torch.zeros((1, 3), dtype=torch.long)}).tolist() == [[[0, 1, 2]]] * 3
