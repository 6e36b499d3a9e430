"""What README shows is typed in here and has to work."""

from __future__ import annotations

import re

import yaml

from preflight_ocr.fixtures.corpus.plant import write_project
from preflight_ocr.harness.check.check import check
from preflight_ocr.harness.config.config import load_config
from tests.support.places import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")

# A trainer as one finds it: everything in a class, the collator a bound method, PEFT inside.
THEIR_TRAINER = """
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModel


class DeepSeekTrainer:
    def __init__(self, model_path, max_length):
        self.model_path, self.max_length = model_path, max_length
        self.model = self.tokenizer = None

    def setup_model(self):
        self.model = AutoModel.from_pretrained(
            self.model_path, trust_remote_code=True, attn_implementation="eager"
        ).float()

    def apply_lora(self):
        settings = LoraConfig(r=8, task_type="CAUSAL_LM", target_modules=["q_proj", "v_proj"])
        return get_peft_model(self.model, settings)

    def collate_fn(self, rows):
        prompt = [self.tokenizer.bos_token_id, *self.tokenizer.encode("Free OCR.", add_special_tokens=False)]
        answers = [self.tokenizer.encode(row["text"], add_special_tokens=False) for row in rows]
        answers = [[*answer, self.tokenizer.eos_token_id] for answer in answers]
        longest = max(map(len, answers)) + len(prompt)
        ids, labels = [], []
        for answer in answers:
            pad = [self.tokenizer.pad_token_id] * (longest - len(prompt) - len(answer))
            ids.append([*pad, *prompt, *answer])
            labels.append([-100] * (len(pad) + len(prompt)) + answer)
        ids = torch.tensor(ids)
        blank = [(torch.zeros(1, 3, 128, 128), torch.rand(1, 3, 256, 256)) for _ in rows]
        return {
            "input_ids": ids,
            "attention_mask": (ids != self.tokenizer.pad_token_id).long(),
            "labels": torch.tensor(labels),
            "images": blank,
            "images_seq_mask": torch.zeros_like(ids, dtype=torch.bool),
            "images_spatial_crop": torch.ones(len(rows), 2, dtype=torch.long),
        }
"""


def read_adapter() -> str:
    """The few lines of adapter that README shows for a trainer that is a class."""
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    return next(block for block in blocks if block.startswith("# my_project.py"))


def test_the_adapter_for_a_trainer_class_reaches_its_bound_methods(tmp_path, sandbox):
    path = write_project(tmp_path, [])
    (tmp_path / "their_repo").mkdir()
    (tmp_path / "their_repo" / "__init__.py").touch()
    (tmp_path / "their_repo" / "trainer.py").write_text(THEIR_TRAINER, encoding="utf-8")
    (tmp_path / "my_project.py").write_text(read_adapter(), encoding="utf-8")
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    document["subject"] = {part: f"my_project:{part}" for part in ("model", "collator", "peft")}
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    report = check(load_config(path), trust=True, sandbox=sandbox)
    assert report.facts.collator.owner == "my_project:collator"
    names = {finding.name for finding in report.findings}
    # Its pages are noise, and no token says where they belong: seen through the adapter, in the class's own method.
    assert "missing_placeholders" in names
    assert not names & {"failing_collator", "failing_batch", "failing_adapter", "unloadable_model"}
