"""A project with the five silent faults of its kind, mended once by following the printed texts: nothing is left to say."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest
import yaml

from preflight_ocr.fixtures.corpus.plant import write_project
from preflight_ocr.harness.check.check import check
from preflight_ocr.harness.config.config import load_config

OWN = '''"""A fine-tuning project's own loader and collator, as people write them."""

import numpy
import torch
from PIL import Image, ImageOps
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModel

MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
SIDE = 256


class OcrModel(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model
        self.base_model = model

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.model, name)

    def forward(self, **batch):
        return self.model(**batch)


def load(config):
    model = AutoModel.from_pretrained(
        config.model.base_model, trust_remote_code=True, torch_dtype=torch.float32, attn_implementation="eager"
    )
    return OcrModel(model)


class Collator:
    def __init__(self, tokenizer):
        self.tokenizer = tokenizer

    def prepare(self, path):
        page = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
        page = ImageOps.pad(page, (SIDE, SIDE), color=(127, 127, 127))
        pixels = torch.from_numpy(numpy.array(page)).permute(2, 0, 1) / 255
        pixels = (pixels - MEAN) / STD
        return pixels

    def __call__(self, rows):
        tokenizer = self.tokenizer
        sequences, images, target_starts = [], [], []
        for row in rows:
            prompt = "\\nFree OCR. "
            text = prompt
            prompt_ids = [tokenizer.bos_token_id] + tokenizer.encode(text, add_special_tokens=False)
            target_ids = tokenizer.encode(row["text"], add_special_tokens=False) + [tokenizer.eos_token_id]
            sequences.append(torch.tensor(prompt_ids + target_ids))
            images.append((torch.zeros(1, 3, SIDE, SIDE), self.prepare(row["image_path"])[None]))
        input_ids = pad_sequence(sequences, batch_first=True, padding_value=tokenizer.pad_token_id)
        attention_mask = input_ids != tokenizer.pad_token_id
        labels = input_ids.clone()
        batch = {"input_ids": input_ids, "attention_mask": attention_mask, "labels": labels, "images": images}
        batch["images_seq_mask"] = torch.ones(len(rows), 1, dtype=torch.bool)
        batch["images_spatial_crop"] = torch.ones(len(rows), 2, dtype=torch.long)
        return batch


def make_collator(config, processor, model):
    return Collator(getattr(processor, "tokenizer", processor))
'''
# finding -> the lines that its printed snippet takes the place of
PLACES = {
    "broadcast_mask": '        batch["images_seq_mask"] = torch.ones(len(rows), 1, dtype=torch.bool)\n',
    "missing_placeholders": "            text = prompt\n",
    "foreign_normalisation": "        pixels = (pixels - MEAN) / STD\n",
    "copied_labels": "        labels = input_ids.clone()\n",
    "doubled_module": "    return OcrModel(model)\n",
    "forwarded_loss_keyword": "    def forward(self, **batch):\n        return self.model(**batch)\n",
}
STARTS = "target_starts.append(len(prompt_ids))"


def put(source: str, name: str, snippet: str) -> str:
    """The source with a snippet in place of the lines that it mends."""
    old = PLACES[name]
    assert source.count(old) == 1, name
    indent = old[: len(old) - len(old.lstrip())]
    new = textwrap.indent(snippet, indent) + "\n"
    return source.replace(old, new)


def drop_keys(document: dict[str, Any], named: tuple[str, ...]) -> None:
    for path in named:
        section, _, key = path.partition(".")
        del document[section][key]


@pytest.mark.slow
def test_one_round_of_the_printed_fixes_leaves_nothing_to_say(tmp_path, sandbox):
    project = write_project(tmp_path, [], model="deepseek_ocr")
    document = yaml.safe_load(project.read_text(encoding="utf-8"))
    document["subject"] = {"model": "own:load", "collator": "own:make_collator"}
    project.write_text(yaml.safe_dump(document), encoding="utf-8")
    module = tmp_path / "own.py"
    module.write_text(OWN, encoding="utf-8")

    found = {f.name: f for f in check(load_config(project), level="ran", trust=True, sandbox=sandbox).findings}
    assert set(found) == {*PLACES, "ineffective_key"}

    source = OWN
    for name in PLACES:
        source = put(source, name, found[name].fix.snippet)
    assert STARTS in found["copied_labels"].fix.snippet  # a comment says where this line belongs
    source = source.replace("            target_ids = ", f"            {STARTS}\n            target_ids = ")
    module.write_text(source, encoding="utf-8")
    drop_keys(document, tuple(line.split("`")[1] for line in found["ineffective_key"].evidence))
    project.write_text(yaml.safe_dump(document), encoding="utf-8")

    mended = check(load_config(project), level="ran", trust=True, sandbox=sandbox)
    assert [(f.name, f.summary) for f in mended.findings] == []
    assert mended.verdict == "clear"
