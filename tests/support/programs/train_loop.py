"""A loop written by hand with Accelerate, on question/answer columns. Arguments: MODEL DATA [FAULT]."""

import json
import sys
from pathlib import Path

import torch
from accelerate import Accelerator
from peft import LoraConfig, get_peft_model
from PIL import Image
from torch.utils.data import DataLoader
from transformers import AutoModelForImageTextToText, AutoProcessor

MODEL, DATA = sys.argv[1], Path(sys.argv[2])
FAULT = sys.argv[3] if len(sys.argv) > 3 else ""


def read_rows():
    for line in (DATA / "rows.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        yield {"image": str(DATA / row["page"]), "question": row["question"], "answer": row["answer"]}


def main():
    accelerator = Accelerator(mixed_precision="bf16")
    processor = AutoProcessor.from_pretrained(MODEL)
    model = AutoModelForImageTextToText.from_pretrained(MODEL)
    model = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"))

    def collate(rows):
        tokenizer = processor.tokenizer
        asked = [
            processor.apply_chat_template(
                [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": row["question"]}]}],
                tokenize=False,
                add_generation_prompt=True,
            )
            for row in rows
        ]
        pages = [[Image.open(row["image"]).convert("RGB")] for row in rows]
        end = "" if FAULT == "unsupervised_eos" else tokenizer.eos_token
        texts = [text + row["answer"] + end for text, row in zip(asked, rows, strict=True)]
        batch = processor(text=texts, images=pages, padding=True, return_tensors="pt")
        labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
        for index, text in enumerate(asked):
            length = processor(text=[text], images=[pages[index]], return_tensors="pt")["input_ids"].shape[1]
            start = int(batch["attention_mask"][index].argmax())
            labels[index, start : start + length] = -100
        batch["labels"] = labels
        return batch

    loader = DataLoader(list(read_rows()), batch_size=2, collate_fn=collate, shuffle=True)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    for batch in loader:
        loss = model(**batch).loss
        accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()


main()
