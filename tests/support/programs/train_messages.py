"""A script as people write them: Trainer, own collator on `messages`, LoRA. Arguments: MODEL DATA [FAULT or HABIT].

Habits are no faults.
"""

import json
import random
import sys
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from PIL import Image, ImageEnhance, ImageOps
from transformers import AutoModelForImageTextToText, AutoProcessor, BatchFeature, Trainer, TrainingArguments

MODEL, DATA = sys.argv[1], Path(sys.argv[2])
FAULT = sys.argv[3] if len(sys.argv) > 3 else ""


class Pages(torch.utils.data.Dataset):
    def __init__(self, file):
        self.rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        if FAULT == "letters_of_several_bytes":  # no fault at all
            for row, end in zip(
                self.rows,
                (" \u043f\u0438\u0441\u044c\u043c\u043e", " caf\u00e9", " \u6f22\u5b57", " \U0001f600"),
                strict=True,
            ):
                row["answer"] += end
        if FAULT == "two_spellings":
            self.rows[0]["answer"] += " caf\u00e9"
            self.rows[1]["answer"] += " cafe\u0301"

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        row = self.rows[index]
        page = Image.open(DATA / row["page"]).convert("RGB")
        return (page, row["question"], row["answer"]) if FAULT == "yields_tuples" else write_messages(page, row)


def write_messages(page, row):
    asked = [{"type": "image", "image": page}, {"type": "text", "text": row["question"]}]
    said = [{"type": "text", "text": row["answer"]}]
    return {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]}


random_one = random.Random(11)


def alter(page):
    page = page.rotate(random_one.uniform(-2, 2), resample=Image.Resampling.BICUBIC, fillcolor="white")
    return ImageEnhance.Brightness(page).enhance(random_one.uniform(0.8, 1.1))


class Collator:
    def __init__(self, processor):
        self.processor = processor

    def __call__(self, rows):
        tokenizer = self.processor.tokenizer
        texts, pictures, starts = [], [], []
        if FAULT == "yields_tuples":
            rows = [write_messages(page, {"question": asked, "answer": said}) for page, asked, said in rows]
        if FAULT == "sorts_rows":
            rows = sorted(rows, key=lambda row: len(row["messages"][1]["content"][0]["text"]), reverse=True)
        for row in rows:
            user, assistant = row["messages"]
            if FAULT == "draws_prompts":
                asked = random_one.choice(["Read the page.", "What is written here?", "Text, please."])
                user = {**user, "content": [user["content"][0], {"type": "text", "text": asked}]}
            if FAULT == "alters_pages":
                user["content"][0]["image"] = alter(user["content"][0]["image"])
            if FAULT == "pads_pages":
                page = user["content"][0]["image"]
                user["content"][0]["image"] = ImageOps.pad(page, (max(page.size),) * 2, color="white")
            asked = self.processor.apply_chat_template([user], tokenize=False, add_generation_prompt=True)
            said = assistant["content"][0]["text"]
            texts.append(asked + said + tokenizer.eos_token + "\n")
            pictures.append([user["content"][0]["image"]])
            starts.append(asked)
        side = {"padding_side": "left" if FAULT == "pads_left" else "right"}
        batch = self.processor(text=texts, images=pictures, padding=True, return_tensors="pt", **side)
        labels = batch["input_ids"].clone()
        labels[batch["attention_mask"] == 0] = -100
        for index, asked in enumerate(starts):
            alone = self.processor(text=[asked], images=[pictures[index]], return_tensors="pt")
            start = int(batch["attention_mask"][index].argmax())
            if FAULT != "unmasked_prompt":
                labels[index, start : start + alone["input_ids"].shape[1]] = -100
            else:
                image = tokenizer.convert_tokens_to_ids(getattr(tokenizer, "image_token", self.processor.image_token))
                labels[index][batch["input_ids"][index] == image] = -100
        batch["labels"] = labels
        if FAULT == "drops_token_types":
            del batch["token_type_ids"]
        if FAULT == "darkens_pages":
            batch["pixel_values"] = batch["pixel_values"] - 0.5
        if FAULT == "returns_features":
            return BatchFeature({**batch, "attention_mask": batch["attention_mask"].bool()})
        return batch


def main():
    processor = AutoProcessor.from_pretrained(MODEL)
    model = AutoModelForImageTextToText.from_pretrained(MODEL, torch_dtype=torch.float32)
    if FAULT == "frozen_adapter":
        model = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"))
        for parameter in model.parameters():
            parameter.requires_grad = False
    else:
        model = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"))
    arguments = TrainingArguments(
        output_dir=str(DATA / "out"),
        per_device_train_batch_size=2,
        num_train_epochs=1,
        remove_unused_columns=False,
        report_to="none",
        save_strategy="no",
    )
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=Pages(DATA / "rows.jsonl"),
        data_collator=Collator(processor),
        processing_class=processor.tokenizer if FAULT == "saves_tokenizer_alone" else None,
    )
    trainer.train()
    (DATA / "trained").write_text("trained", encoding="utf-8")


if __name__ == "__main__":
    main()
