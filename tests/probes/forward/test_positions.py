from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from preflight_ocr.harness.facts import Unknown
from preflight_ocr.probes.forward.positions import find_limit, look_at_positions, record_positions


class ToyRotary(nn.Module):
    def forward(self, x, position_ids):
        return x


class Toy(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(4, 2)
        self.turn = ToyRotary()
        self.config = SimpleNamespace(max_position_embeddings=8)


def look(positions, mask):
    model = Toy()
    row = {"image_path": "page.png"}
    parts = SimpleNamespace(
        bare=model,
        anatomy=SimpleNamespace(embedding="embed", layers=None),
        sample=(row,) * len(mask),
        rows=[{"image_path": "other.png"}, row],
        name_page=lambda row: row["image_path"],
    )
    with record_positions(parts) as recorded:
        model.turn(torch.zeros(1), positions)
    batch = {"input_ids": torch.zeros_like(mask), "attention_mask": mask}
    return look_at_positions(parts, batch, recorded)


class ToyBlock(nn.Module):
    def forward(self, hidden_states, attention_mask=None, position_ids=None):
        return hidden_states


class ToyStack(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(4, 2)
        self.layers = nn.ModuleList([ToyBlock()])


def record_block(*args, **kwargs):
    model = ToyStack()
    with record_positions(
        SimpleNamespace(bare=model, anatomy=SimpleNamespace(embedding="embed", layers="layers"))
    ) as found:
        model.layers[0](*args, **kwargs)
    return [positions.tolist() for positions in found]


def test_positions_that_a_block_is_given_in_their_place_are_known_by_its_own_parameter():
    hidden, mask, positions = torch.zeros(1, 2, 2), torch.ones(1, 2, dtype=torch.int64), torch.tensor([[5, 6]])
    assert record_block(hidden, mask, positions) == record_block(hidden, position_ids=positions) == [[[5, 6]]]
    assert record_block(hidden, mask) == []  # a mask of whole numbers is none


def test_padding_does_not_count_and_the_row_is_called_by_its_number_in_the_data():
    found = look(torch.arange(4).expand(2, -1), torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]]))
    assert [(row.row, row.tokens, row.highest) for row in found.rows] == [(1, 2, 1), (1, 4, 3)]


def test_the_highest_of_three_axes_counts():
    positions = torch.tensor([[[0, 1, 1]], [[0, 1, 7]], [[0, 1, 2]]])
    assert look(positions, torch.ones(1, 3, dtype=torch.int64)).rows[0].highest == 7


def test_positions_of_something_else_are_not_taken_for_the_tokens():
    assert isinstance(look(torch.arange(9)[None], torch.ones(1, 3, dtype=torch.int64)), Unknown)


@pytest.mark.parametrize(
    ("settings", "limit"),
    [
        ({"max_position_embeddings": 256}, 256),
        ({"max_position_embeddings": 256, "rope_scaling": {"rope_type": "linear", "factor": 4.0}}, 1024),
        (
            {
                "max_position_embeddings": 1024,
                "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 256},
            },
            1024,
        ),
        ({"max_position_embeddings": 256, "rope_parameters": {"full": {"rope_type": "linear", "factor": 8.0}}}, 2048),
        ({}, None),
    ],
)
def test_the_limit_counts_what_scaling_adds(settings, limit):
    assert find_limit(SimpleNamespace(**settings)) == limit
