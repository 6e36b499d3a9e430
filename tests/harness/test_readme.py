"""What README and the tutorials show is typed in here and has to work."""

from __future__ import annotations

import re

import yaml

from preflight_ocr.fixtures.corpus.plant import write_project
from preflight_ocr.harness.check.check import check
from preflight_ocr.harness.config.config import load_config
from tests.support.places import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
HOW_TO = (ROOT / "docs" / "how-to" / "trainer-class.md").read_text(encoding="utf-8")
FROM_PYTHON = (ROOT / "docs" / "how-to" / "from-python.md").read_text(encoding="utf-8")
TUTORIAL = (ROOT / "docs" / "tutorials" / "your-project.md").read_text(encoding="utf-8")

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
    """The few lines of adapter that the how-to shows for a trainer that is a class."""
    blocks = re.findall(r"```python\n(.*?)```", HOW_TO, re.DOTALL)
    return next(block for block in blocks if block.startswith("# my_project.py"))


def test_the_two_commands_stand_where_ci_looks_for_them():
    section = README.partition("\n## Two commands\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"```bash\n(.*?)```", section, re.DOTALL)
    assert [block.splitlines()[0] for block in blocks] == [
        'pip install -c constraints.txt ".[train]" && preflight demo',
        'pip install -c constraints.txt ".[test]" && pytest -n auto',
    ]


def test_the_yaml_file_of_the_tutorial_has_no_key_that_nobody_knows(tmp_path):
    block = re.findall(r"```yaml\n(.*?)```", TUTORIAL, re.DOTALL)[0]
    (tmp_path / "project.yaml").write_text(block, encoding="utf-8")
    assert load_config(tmp_path / "project.yaml").unknown_keys == ()


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


def test_the_collator_of_the_page_on_python_wraps_ours(tmp_path, sandbox):
    path = write_project(tmp_path, [])
    code = next(b for b in re.findall(r"```python\n(.*?)```", FROM_PYTHON, re.DOTALL) if "my_collator" in b)
    (tmp_path / "my_collator.py").write_text(code, encoding="utf-8")
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    document["subject"] = {"collator": "my_collator:collator"}
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    report = check(load_config(path), trust=True, only=("COL", "CFG"), sandbox=sandbox)
    assert report.facts.collator.owner == "my_collator:collator"
    assert report.findings == ()


def test_the_child_of_the_page_on_python_answers(tmp_path, monkeypatch, capsys):
    (tmp_path / "their_module.py").write_text("def measure(width):\n    return width * 2\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    code = next(b for b in re.findall(r"```python\n(.*?)```", FROM_PYTHON, re.DOTALL) if "Sandbox(" in b)
    exec(code, {})
    assert capsys.readouterr().out == "6\n"
