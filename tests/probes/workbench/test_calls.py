from __future__ import annotations

import types

import torch
from torch import nn

from preflight_ocr.harness.facts import Raised, Unknown
from preflight_ocr.harness.families.anatomy import read_anatomy
from preflight_ocr.probes.workbench.calls import Seen, call, read_logits, read_loss, read_signature, watch
from preflight_ocr.probes.workbench.landing import read_landing
from tests.support.toys import Toy, make_batch

LOGITS = torch.zeros(1, 2, 3)


def parts_of(model):
    return types.SimpleNamespace(bare=model, anatomy=read_anatomy(model))


def test_logits_are_found_as_attribute_key_or_first_tensor_of_that_rank():
    outputs = [types.SimpleNamespace(logits=LOGITS), {"logits": LOGITS}, (torch.tensor(1.0), LOGITS, LOGITS + 1)]
    assert all(read_logits(output) is LOGITS for output in outputs)
    assert read_logits((torch.tensor(1.0),)) is None
    assert read_logits(None) is None
    assert read_logits({"logits": "many"}) is None


def test_the_loss_is_found_as_key_attribute_or_first_item():
    loss = torch.tensor(2.0)
    outputs = [{"loss": loss, "logits": LOGITS}, types.SimpleNamespace(loss=loss), (loss, LOGITS)]
    assert all(read_loss(output) is loss for output in outputs)
    assert read_loss({"logits": LOGITS}) is None
    assert read_loss((LOGITS,)) is None
    assert read_loss(types.SimpleNamespace(logits=LOGITS)) is None


def test_a_signature_says_what_forward_names():
    signature = read_signature(Toy())
    assert signature.owner == "Toy.forward"
    assert [p.name for p in signature.parameters] == ["input_ids", "pixels", "marked", "labels"]
    assert [p.has_default for p in signature.parameters] == [False, True, True, True]
    assert signature.accepts("pixels") and not signature.accepts("pixel_values")


def test_a_forward_with_keywords_of_any_name_accepts_everything():
    class Open(nn.Module):
        def forward(self, x, **more):
            return x

    assert read_signature(Open()).accepts("anything")


def test_a_call_keeps_no_graph():
    assert call(Toy(), make_batch())["logits"].grad_fn is None


def test_one_watched_call_gives_logits_and_trace():
    seen = watch(parts_of(Toy()), make_batch())
    assert isinstance(seen, Seen)
    assert seen.logits.shape == (2, 6, 10)
    assert seen.trace.embedded.shape == seen.trace.entered.shape == (2, 6, 8)


def test_what_forward_raises_is_the_result():
    assert isinstance(watch(parts_of(Toy()), {**make_batch(), "colour": 1}), Raised)


def test_a_model_without_blocks_is_called_all_the_same():
    class Flat(Toy):
        def __init__(self):
            super().__init__()
            self.blocks = None

        def forward(self, input_ids, pixels=None):
            return {"logits": self.head(self.words(input_ids))}

    seen = watch(parts_of(Flat()), make_batch())
    assert isinstance(seen, Seen), seen
    assert seen.logits is not None
    landing = read_landing(Flat(), read_anatomy(Flat()), make_batch(), seen.trace, image_token_id=None)
    assert isinstance(landing, Unknown) and "blocks could not be found" in landing.reason
