"""The laws: what every healthy run obeys, whatever is wrong with the others. A diagnosis says of which law it is (`law`).

A diagnosis of a law finds faults that nobody has listed; the others name one defect each. `LAWS` says of each law what it
holds to be true and what it cannot see, for the page that is made of a corpus run (`docs/measured/laws.md`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

LawName = Literal[
    "rehearsal",
    "training equals generation",
    "memorise and read",
    "saved equals trained",
    "ids agree",
    "labels are writable",
    "the recipe moves the model",
    "nothing grows",
]


class Law(msgspec.Struct, frozen=True, kw_only=True):
    """`says` is what holds in a healthy run; `blind_to` what keeps it although something is wrong."""

    says: str
    blind_to: str


LAWS: Mapping[LawName, Law] = {
    "rehearsal": Law(
        says="every stage of the run, done once in small with its own arguments, ends: start, step, evaluation, checkpoint, "
        "resume, final save, reading in a fresh process",
        blind_to="a run that ends and learns the wrong thing; what comes only after many steps or rows; DeepSpeed, FSDP and "
        "several ranks",
    ),
    "training equals generation": Law(
        says="the logits that training supervises are those that generation computes for the same row",
        blind_to="what is wrong in both alike: another page, a page made smaller, positions too high; a wrong target; "
        "a model that does not generate",
    ),
    "memorise and read": Law(
        says="a row that is known by heart is written again, and writing stops, before and after the adapter was saved",
        blind_to="whatever an adapter can learn around: a pass proves little; models that are too dear to learn a row",
    ),
    "saved equals trained": Law(
        says="what moved in training stands in the saved file and comes back; nothing that targets use is frozen and alike",
        blind_to="whether what moved was what should have moved",
    ),
    "ids agree": Law(
        says="labels end with a token that generation stops at, and do not begin with the decoder's start",
        blind_to="ids that agree and are wrong",
    ),
    "labels are writable": Law(
        says="the tokenizer can write every character of the training texts",
        blind_to="labels of another row, of the prompt, or cut short; another spelling of the same text",
    ),
    "the recipe moves the model": Law(
        says="the run's rate, schedule and steps can move the logits, and no step outweighs the weights below the adapter",
        blind_to="rates in between that are not the best ones; what data and batch size do to the result",
    ),
    "nothing grows": Law(
        says="nothing in the process grows with every step",
        blind_to="what grows too slowly to be told from noise in a few steps, and what grows outside of the process",
    ),
}
