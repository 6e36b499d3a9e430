"""The usual TrOCR script: a dataset that prepares each row, the library's own collator. Arguments: MODEL DATA."""

import json
import sys
from pathlib import Path

from PIL import Image
from torch.utils.data import Dataset
from transformers import (
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    TrOCRProcessor,
    VisionEncoderDecoderModel,
    default_data_collator,
)

MODEL, DATA = sys.argv[1], Path(sys.argv[2])
FAULT = sys.argv[3] if len(sys.argv) > 3 else ""


class Lines(Dataset):
    def __init__(self, processor, length=24):
        self.rows = [json.loads(line) for line in (DATA / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
        self.processor, self.length = processor, length

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        row = self.rows[index]
        page = Image.open(DATA / row["page"]).convert("RGB")
        pixels = self.processor(page, return_tensors="pt").pixel_values.squeeze()
        tokenizer = self.processor.tokenizer
        ids = tokenizer(row["answer"], padding="max_length", max_length=self.length, truncation=True).input_ids
        pad = tokenizer.pad_token_id
        labels = ids if FAULT == "unmasked_padding" else [token if token != pad else -100 for token in ids]
        return {"pixel_values": pixels, "labels": labels}


processor = TrOCRProcessor.from_pretrained(MODEL)
model = VisionEncoderDecoderModel.from_pretrained(MODEL)
model.config.decoder_start_token_id = processor.tokenizer.cls_token_id or processor.tokenizer.bos_token_id
model.config.pad_token_id = processor.tokenizer.pad_token_id
arguments = Seq2SeqTrainingArguments(
    output_dir=str(DATA / "out"), per_device_train_batch_size=2, num_train_epochs=1, report_to="none", bf16=True
)
trainer = Seq2SeqTrainer(
    model=model, args=arguments, train_dataset=Lines(processor), data_collator=default_data_collator
)
trainer.train()
