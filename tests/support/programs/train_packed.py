"""QLoRA as people write it: 4 bits by bitsandbytes, preparation, LoRA, Trainer. Arguments: MODEL DATA [FAULT]."""

import sys
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
from train_messages import Collator, Pages
from transformers import AutoModelForImageTextToText, AutoProcessor, BitsAndBytesConfig, Trainer, TrainingArguments

MODEL, DATA = sys.argv[1], Path(sys.argv[2])
FAULT = sys.argv[3] if len(sys.argv) > 3 else ""
SKIPPED = {"packs_the_head": ["model.vision_tower"], "packs_the_tower": ["lm_head"]}


def main():
    packing = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
        llm_int8_skip_modules=SKIPPED.get(FAULT, ["model.vision_tower", "lm_head"]),
    )
    half = torch.float16 if FAULT == "unprepared" else torch.bfloat16
    model = AutoModelForImageTextToText.from_pretrained(
        MODEL, quantization_config=packing, torch_dtype=half, device_map="auto"
    )
    if FAULT != "unprepared":
        model = prepare_model_for_kbit_training(model)
    model = get_peft_model(model, LoraConfig(r=4, target_modules=".*language_model.*(q|v)_proj", task_type="CAUSAL_LM"))
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(DATA / "out"),
            per_device_train_batch_size=2,
            num_train_epochs=1,
            remove_unused_columns=False,
            report_to="none",
            save_strategy="no",
        ),
        train_dataset=Pages(DATA / "rows.jsonl"),
        data_collator=Collator(AutoProcessor.from_pretrained(MODEL)),
    )
    trainer.train()


if __name__ == "__main__":
    main()
