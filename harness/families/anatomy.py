"""Which part of a model a module belongs to: vision, projector, embedding, attention, mlp, experts, head or other.

Found from the module tree alone: the language model is where the input embeddings live, its layers are the list of
blocks beside them, and whatever else holds weights there is what turns an image into features.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
from torch import nn

_PROJECTOR = re.compile(r"(^|[._])(projector|multi_modal_projector|merger|connector|aligner|resampler)($|[._\d])")


class Anatomy(msgspec.Struct, frozen=True, kw_only=True):
    """Where the parts of one model are, by module name."""

    embedding: str
    head: str | None
    layers: str | None  # the ModuleList of decoder blocks

    def part_of(self, name: str) -> str:
        """The part that the module or parameter called `name` belongs to."""
        if _under(name, self.embedding):
            return "embedding"
        if self.head is not None and _under(name, self.head):
            return "head"
        if self.layers is not None and _under(name, self.layers):
            return _part_of_block(name[len(self.layers) + 1 :])
        if _PROJECTOR.search(name):
            return "projector"
        beside = self.embedding.rpartition(".")[0]
        rest = name[len(beside) + 1 :] if beside and name.startswith(beside + ".") else name
        return (
            "other"
            if re.fullmatch(r"(final_|ln_f|layer_)?(norm|layernorm|ln_f)?(\.weight|\.bias)?", rest)
            else "vision"
        )


def _under(name: str, root: str) -> bool:
    return name == root or name.startswith(root + ".")


def _part_of_block(name: str) -> str:
    steps = name.split(".")
    if any(step == "experts" for step in steps):
        return "experts"
    if any("attn" in step or "attention" in step for step in steps):
        return "attention"
    return "other" if any("norm" in step for step in steps) else "mlp"


def find_embeddings(model: nn.Module) -> Any:
    """What looks up the embeddings of the text. Raises AttributeError where a model offers none.

    Before transformers 4.50 an encoder and a decoder under one roof do not say, but their decoder does.
    """
    try:
        return model.get_input_embeddings()  # type: ignore[operator]
    except NotImplementedError:
        return model.get_decoder().get_input_embeddings()  # type: ignore[operator]


def read_anatomy(model: nn.Module) -> Anatomy:
    """Find embeddings, head and decoder blocks. Raises AttributeError where a model offers no input embeddings."""
    names = {id(module): name for name, module in model.named_modules()}
    embeddings = find_embeddings(model)
    head: Any = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None  # type: ignore[operator]
    embedding = names[id(embeddings)]
    return Anatomy(
        embedding=embedding,
        head=names.get(id(head)) if head is not None else None,
        layers=_find_layers(model, embedding),
    )


def _find_layers(model: nn.Module, embedding: str) -> str | None:
    """The list of blocks nearest to the embeddings; the longest where several are equally near."""
    lists = [
        (name, module) for name, module in model.named_modules() if isinstance(module, nn.ModuleList) and len(module)
    ]
    beside = embedding.rpartition(".")[0]

    def distance(name: str) -> tuple[int, int, int]:
        shared = len(_shared_steps(name, beside))
        return (-shared, name.count("."), -len(dict(lists)[name]))

    below = [name for name, _ in lists if not beside or name.startswith(beside + ".")]
    return min(below or [name for name, _ in lists], key=distance, default=None)


def _shared_steps(left: str, right: str) -> list[str]:
    shared = []
    for a, b in zip(left.split("."), right.split("."), strict=False):
        if a != b:
            break
        shared.append(a)
    return shared


def unwrap(module: nn.Module) -> tuple[nn.Module, str]:
    """The Hugging Face model inside a user's wrapper, and its name there; the module itself and "" where it is bare."""
    from transformers import PreTrainedModel

    if isinstance(module, PreTrainedModel):
        return module, ""
    for name, child in module.named_modules():
        if isinstance(child, PreTrainedModel):
            return child, name
    return module, ""
