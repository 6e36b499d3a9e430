import torch
from torch import nn
from torch.utils.data import Subset

from preflight_ocr.probes.workbench.brought import _is_or_holds, copy_structure


class Wrapping:
    """Somebody's own wrapper."""

    def __init__(self, inner):
        self.data_collator, self.dataset = inner, inner


def test_a_copy_of_the_structure_has_the_same_numbers_and_its_own_flags():
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    model.register_buffer("scale", torch.ones(1))
    copied = copy_structure(model)
    assert copied is not model
    assert copied[0].weight.data_ptr() == model[0].weight.data_ptr()
    assert copied.scale.data_ptr() == model.scale.data_ptr()
    copied.requires_grad_(False)
    copied[1] = nn.Identity()
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert isinstance(model[1], nn.Linear)


def test_weights_that_are_tied_stay_tied_in_the_copy():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    copied = copy_structure(model)
    assert copied[1].weight is copied[0].weight


def test_a_model_that_cannot_be_copied_is_used_itself():
    class Stubborn(nn.Module):
        def __deepcopy__(self, memo):
            raise TypeError("one of a kind")

    model = Stubborn()
    assert copy_structure(model) is model


def test_what_the_libraries_put_around_a_part_is_still_what_was_handed_over():
    from transformers.trainer_utils import RemoveColumnsCollator

    rows, collate = [1, 2], print
    assert _is_or_holds(rows, rows)
    assert _is_or_holds(Subset(rows, [0]), rows)
    assert _is_or_holds(RemoveColumnsCollator(collate, ["a"]), collate)


def test_what_the_user_puts_around_a_part_is_the_users():
    rows = [1, 2]
    assert not _is_or_holds(Wrapping(rows), rows)
    assert not _is_or_holds([1, 2], rows)
    assert not _is_or_holds(rows, None)
