"""A loop that no library starts: it says itself where it begins. Arguments: MODEL DATA."""

import json
import sys
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

import preflight_ocr

MODEL, DATA = sys.argv[1], Path(sys.argv[2])
processor = AutoProcessor.from_pretrained(MODEL)
model = AutoModelForImageTextToText.from_pretrained(MODEL, device_map="auto")
model = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")).cuda()
rows = [json.loads(line) for line in (DATA / "rows.jsonl").read_text(encoding="utf-8").splitlines()]


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
    pages = [[Image.open(DATA / row["page"]).convert("RGB")] for row in rows]
    texts = [text + row["answer"] + tokenizer.eos_token for text, row in zip(asked, rows, strict=True)]
    batch = processor(text=texts, images=pages, padding=True, return_tensors="pt")
    lengths = [
        processor(text=[text], images=[page], return_tensors="pt")["input_ids"].shape[1]
        for text, page in zip(asked, pages, strict=True)
    ]
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    for index, length in enumerate(lengths):
        start = int(batch["attention_mask"][index].argmax())
        labels[index, start : start + length] = -100
    return {**batch, "labels": labels}


preflight_ocr.hold(model=model, collator=collate, rows=rows, processor=processor, batch_size=2)
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
for start in range(0, len(rows), 2):
    batch = {name: value.cuda() for name, value in collate(rows[start : start + 2]).items()}
    model(**batch).loss.backward()
    optimizer.step()
    optimizer.zero_grad()
