"""A model with its adapter and our collator, ready to read pages."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import peft
import torch

from preflight_ocr.harness.config.schema import Config
from preflight_ocr.harness.launched import find_place
from preflight_ocr.harness.training.adapter_files import WEIGHTS, AdapterFiles, ForeignAdapter, refuse_foreign
from preflight_ocr.harness.training.collate import Collator
from preflight_ocr.harness.training.model import LoadedProcessor, find_directory, load_model, load_processor
from preflight_ocr.harness.training.train import build_own_collator, run_anywhere

LOG = logging.getLogger("preflight_ocr.harness.training")


class Reader(msgspec.Struct, frozen=True, kw_only=True):
    """`model` is a PeftModel where there is an adapter. `directory` has the base model's files."""

    config: Config
    directory: Path
    model: Any
    processor: LoadedProcessor
    collator: Collator

    @contextmanager
    def without_adapter(self) -> Iterator[None]:
        """The base model, for the length of a block."""
        with self.model.disable_adapter():
            yield


@contextmanager
def open_reader(config: Config, adapter: AdapterFiles | None, *, named: bool = False) -> Iterator[Reader]:
    """Load what reads. Where the machine has no accelerator, calls for one in the model's code go to the CPU in the block.

    An adapter of another model is refused before weights are loaded. Executes remote code. Raises UserError.
    """
    directory = find_directory(config)
    if adapter is not None:
        refuse_foreign(adapter, config, directory, named=named)
    place = find_place()
    if place.size > 1 and torch.cuda.is_available():
        torch.cuda.set_device(place.local_rank)  # "cuda" is from here on the card of this process
    with run_anywhere():
        bare = load_model(config)
        processor = load_processor(config)
        collator = build_own_collator(config, bare, processor, cached=False)
        model = bare if adapter is None else load_adapter(bare, adapter)
        if torch.cuda.is_available() and getattr(bare, "hf_device_map", None) is None:
            model.to("cuda")
        model.eval()
        yield Reader(config=config, directory=directory, model=model, processor=processor, collator=collator)


def load_adapter(model: torch.nn.Module, adapter: AdapterFiles) -> torch.nn.Module:
    """The model with the adapter's weights. Raises ForeignAdapter where one of them has no place in it.

    PEFT itself passes over weights that it finds no place for, with a warning that few see.
    """
    try:
        loaded: torch.nn.Module = peft.PeftModel.from_pretrained(model, str(adapter.directory))
    except (RuntimeError, ValueError) as error:
        said = str(error).strip().splitlines()[-1].strip()
        raise ForeignAdapter(f"{adapter.directory}: PEFT cannot load it into this model ({said})") from None
    placed = peft.get_peft_model_state_dict(loaded)
    lost = sorted(set(adapter.shapes) - set(placed))
    if lost:
        raise ForeignAdapter(
            f"{adapter.directory}: {len(lost)} of the {len(adapter.shapes)} weights in {WEIGHTS} have no place "
            f"in this model, the first is {lost[0]}; give the adapter of this model"
        )
    return loaded
