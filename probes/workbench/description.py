"""What a held command asks for, in the terms of a configuration, and what its rows are."""

from __future__ import annotations

import hashlib
import inspect
import math
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from PIL import Image

from preflight_ocr.harness.config.schema import (
    Config,
    DataSection,
    LoraSection,
    ModelSection,
    Subject,
    TrainingSection,
)
from preflight_ocr.harness.facts import Dataset, Raised, RowProblem, Spellings, Split, Unknown
from preflight_ocr.harness.foreign.rows import get_at
from preflight_ocr.harness.holding.held import Held, Load
from preflight_ocr.probes.reading.spelling import SpellingReader
from preflight_ocr.probes.workbench.held import LOOKED_AT, HeldAssembly, find_processor, unwrap_model
from preflight_ocr.probes.workbench.rows import find_pictures, has_silent_answer, open_picture, tell_texts
from preflight_ocr.probes.workbench.tracing import attempt


def describe_run(held: Held, folder: Path) -> tuple[Config, Path]:
    """The configuration that says the same as the command, and the folder with the model's files."""
    load = next(iter(reversed(held.loads)), None)
    directory = find_files(held, load, folder)
    source = Path(getattr(sys.modules["__main__"], "__file__", None) or sys.argv[0] or "command").absolute()
    config = Config(
        source=source,
        model=ModelSection(
            base_model=str(directory),
            revision=load.revision if load else None,
            torch_dtype=load.dtype if load else None,
            attn_implementation=load.attention if load else None,
            device_map=load.device_map if load else None,
            trust_remote_code=True,
        ),
        subject=Subject(path=source.parent, collator=name_part(held.collate, source)),
        lora=_describe_adapter(held.model),
        training=_describe_training(held),
        data=DataSection(max_seq_length=_find_longest(held.arguments)),
    )
    return config, directory


def find_files(held: Held, load: Load | None, folder: Path) -> Path:
    """The folder the model came from; for one that was not loaded, its configuration and processor are written down."""
    if load is not None:
        if Path(load.source).is_dir():
            return Path(load.source).absolute()
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(load.source, "config.json", cache_dir=load.cache_dir, revision=load.revision)
        if isinstance(found, str):
            return Path(found).parent
    place = folder / "model"
    place.mkdir(exist_ok=True)
    unwrap_model(held.model).config.save_pretrained(str(place))
    processor = held.processor or find_processor(held.collate)
    if processor is not None:
        processor.save_pretrained(str(place))
    return place


def name_part(part: Any, source: Path) -> str:
    """`module:name` of a collator, the script's own module under its file's name."""
    inner = getattr(part, "data_collator", None) or part
    inner = getattr(inner, "func", inner)
    named = inner if inspect.isroutine(inner) or inspect.isclass(inner) else type(inner)
    module = str(getattr(named, "__module__", "") or "")
    if module in ("__main__", ""):
        module = source.stem if source.stem.isidentifier() else "command"
    name = str(getattr(named, "__qualname__", "collator")).partition(".")[0]
    return f"{module}:{name if name.isidentifier() else 'collator'}"


def _describe_adapter(model: Any) -> LoraSection:
    """The first adapter's settings, as far as a configuration has words for them."""
    settings = getattr(model, "peft_config", None)
    settings = next(iter(settings.values()), None) if isinstance(settings, dict) else settings
    if settings is None:
        return LoraSection(task_type=None)
    task = getattr(settings, "task_type", None)
    targets = getattr(settings, "target_modules", None)
    return LoraSection(
        r=int(getattr(settings, "r", 8) or 8),
        lora_alpha=getattr(settings, "lora_alpha", 16) or 16,
        lora_dropout=float(getattr(settings, "lora_dropout", 0.0) or 0.0),
        bias=str(getattr(settings, "bias", "none")),
        task_type=None if task is None else str(getattr(task, "value", task)),
        target_modules=targets if isinstance(targets, str) or targets is None else sorted(targets),
        modules_to_save=list(getattr(settings, "modules_to_save", None) or []) or None,
        use_rslora=bool(getattr(settings, "use_rslora", False)),
        use_dora=bool(getattr(settings, "use_dora", False)),
    )


def _describe_training(held: Held) -> TrainingSection:
    arguments = held.arguments
    if arguments is None:
        return TrainingSection(
            arguments={"dataloader_pin_memory": held.pins_memory},
            per_device_train_batch_size=held.batch_size,
            fp16=bool(held.asked.get("fp16")),
            bf16=bool(held.asked.get("bf16")),
            save_strategy="no",
        )
    given: dict[str, Any] = {}
    for field in msgspec.structs.fields(TrainingSection):
        value = getattr(arguments, field.name, None)
        value = getattr(value, "value", value)
        if field.name == "arguments" or value is None:
            continue
        given[field.name] = Path(value) if field.name == "output_dir" else value
    for name in ("fp16", "bf16"):
        if held.asked.get(name):
            given[name] = True
    given["arguments"] = {"dataloader_pin_memory": held.pins_memory}
    if getattr(arguments, "ddp_find_unused_parameters", None) is False:
        given["arguments"]["ddp_find_unused_parameters"] = False
    given["per_device_train_batch_size"] = held.batch_size
    given["remove_unused_columns"] = False  # what it removes is removed: the loader that was held has done it
    if int(given.get("max_steps", -1)) <= 0 and (steps := _count_steps(held)) is not None:
        given["max_steps"] = steps
    return msgspec.convert(given, TrainingSection, strict=False, dec_hook=lambda kind, value: kind(value))


def _count_steps(held: Held) -> int | None:
    """Optimizer steps of the run, as Trainer counts them; None where the rows cannot be counted, or only some were made."""
    rows = held.rows
    if not hasattr(rows, "__len__") or any("--rows" in undone for undone in held.undone):
        return None
    per_epoch = math.ceil(math.ceil(len(rows) / max(held.batch_size, 1)) / held.arguments.gradient_accumulation_steps)
    return int(max(1, math.ceil(held.arguments.num_train_epochs * max(per_epoch, 1))))


def _find_longest(arguments: Any) -> int | None:
    for name in ("max_length", "max_seq_length"):
        if isinstance(value := getattr(arguments, name, None), int):
            return value
    return None


def describe_rows(parts: HeldAssembly) -> Dataset:
    """The rows that were held, and the pictures of the first of them."""
    held = parts.held
    splits = []
    for name, rows in (("train", held.rows), ("val", held.eval_rows)):
        if rows is None or isinstance(rows, dict):
            continue
        columns = parts.rows[0].keys() if name == "train" and isinstance(parts.rows[0], dict) else ()
        splits.append(
            Split(
                name=name,
                path=f"{type(rows).__module__}.{type(rows).__name__}",
                rows=len(rows) if hasattr(rows, "__len__") else len(parts.rows),
                pictured=sum(1 for row in parts.rows if find_pictures(row))
                if name == "train"
                else Unknown(reason="only the rows of training are looked at"),
                columns=tuple(map(str, columns)),
            )
        )
    problems: list[RowProblem] = []
    opened_pictures = 0
    for index, row in enumerate(parts.rows):
        if has_silent_answer(row):
            detail = "the assistant's turns are empty"
            problems.append(RowProblem(split="train", row=index, image="", kind="empty text", detail=detail))
        for spot in find_pictures(row):
            shown = str(get_at(row, spot.path)) if spot.form == "file" else ""
            opened: Any = attempt(partial(open_picture, row, spot))
            opened_pictures += not isinstance(opened, Raised)
            if isinstance(opened, Raised):
                is_missing = opened.type == "FileNotFoundError"
                if is_missing and not Path(shown).is_absolute():
                    continue  # the command knows the folder that it is in, and we do not
                problems.append(
                    RowProblem(
                        split="train",
                        row=index,
                        image=shown,
                        kind="missing image" if is_missing else "unreadable image",
                        detail=f"{opened.type}: {opened.message}",
                    )
                )
            elif opened.width * opened.height > (Image.MAX_IMAGE_PIXELS or math.inf):
                problems.append(
                    RowProblem(split="train", row=index, image=shown, kind="enormous image", detail=str(opened.size))
                )
    texts = parts.list_texts(LOOKED_AT)
    seen = _tell_headers(parts, opened_pictures, bool(problems))
    return Dataset(
        splits=tuple(splits),
        problems=tuple(problems),
        shared_rows=tuple(_find_shared(parts)),
        text_is_ascii=all(text.isascii() for text in texts),
        spellings=_read_spellings(parts),
        image_headers=seen,
        image_pixels=seen,  # each was opened by decoding it
    )


def _read_spellings(parts: HeldAssembly) -> Spellings | Unknown:
    """Of the texts that the first rows ask to be learnt, where their places say so."""
    told = [tell_texts(row) for row in parts.rows]
    if not all(one.certain for one in told):
        return Unknown(reason="which of a row's texts is learnt is not certain from its form")
    reader = SpellingReader()
    for index, one in enumerate(told):
        for text in one.texts:
            reader.look(f"row {index}", text)
    found = reader.finish()
    return found if found.shaped_rows or found.letters else _tell_unread(parts) or found


def _tell_unread(parts: HeldAssembly) -> Unknown | None:
    """Why what was not seen in the first rows may be in another; None where there is no other."""
    total = len(parts.held.rows) if hasattr(parts.held.rows, "__len__") else None
    if total == len(parts.rows):
        return None
    return Unknown(reason=f"only the first {len(parts.rows)} of {total or 'many'} rows were looked at")


def _tell_headers(parts: HeldAssembly, opened: int, has_problems: bool) -> int | Unknown:
    """How many pictures were opened; Unknown where more rows are there and none of the first has a problem."""
    if has_problems:
        return opened
    if not opened:
        return Unknown(reason="the rows hold no picture that can be found: they were prepared before the collator")
    return _tell_unread(parts) or opened


def _find_shared(parts: HeldAssembly) -> Iterator[str]:
    """The texts of the first training rows that stand among the first rows of the other split with the same picture."""
    others = parts.held.eval_rows
    if not hasattr(others, "__getitem__") or not hasattr(others, "__len__") or isinstance(others, dict):
        return
    theirs = {_mark(others[index]) for index in range(min(len(others), LOOKED_AT))} - {None}
    yield from sorted(mark[1][:60] for row in parts.rows if (mark := _mark(row)) in theirs and mark is not None)


def _mark(row: Any) -> tuple[str, str] | None:
    """A row's first picture and its text, as something to compare; None where either cannot be told."""
    spots, told = find_pictures(row), tell_texts(row)
    opened: Any = attempt(partial(open_picture, row, spots[0])) if spots else None
    if not isinstance(opened, Image.Image) or not told.texts:
        return None
    return hashlib.sha256(opened.tobytes()).hexdigest(), told.texts[0]
