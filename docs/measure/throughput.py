"""What the project's own loops cost, against plain ones: `python -m docs.measure.throughput` trains and reads with the
miniatures and keeps the ratios in `docs/measured/throughput.json`, with a page beside it.

Training is held against a bare `transformers.Trainer` with the same collator, rows and seed; its logged losses have to be
the same. Reading is held against a loop that calls `generate` for one page after the other; its texts have to be the same.
The two sides take turns in one process, so that whatever else the machine does meets both.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import msgspec

from docs.render.tables import tabulate
from preflight_ocr.fixtures.pages import render_pages
from preflight_ocr.harness import atomic

KEPT = Path(__file__).resolve().parents[1] / "measured" / "throughput.json"
MODELS = ("deepseek_ocr", "qwen2_vl")
STEPS = 24
PAGES = 48
TOKENS = 24  # that a page may be read as; an untrained model seldom ends by itself
RELEASES = ("torch", "transformers", "peft")

What = Literal["training", "evaluate", "predict"]


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """Both sides once, one after the other, in seconds: of the clock, and of all cores together."""

    plain: float
    ours: float
    plain_cpu: float
    ours_cpu: float


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One model and one loop. `amount` is the number of steps, or of pages, of each turn."""

    what: What
    model: str
    amount: int
    turns: tuple[Turn, ...]


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured at once, on so many threads."""

    threads: int
    versions: dict[str, str]
    measured: tuple[Measured, ...]


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """A median, and the smallest and the largest."""

    median: float
    low: float
    high: float


def main(words: Sequence[str]) -> int:
    """Measure and keep; the exit code is 0 whatever the ratios are."""
    parser = argparse.ArgumentParser(prog="python -m docs.measure.throughput")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--model", action="append", choices=MODELS, help="may be repeated [default: all]")
    asked = parser.parse_args(words)
    run = measure(asked.model or MODELS, threads=asked.threads, turns=asked.turns)
    for one in run.measured:
        by_clock, by_cores = spread(one, "clock"), spread(one, "cores")
        print(f"{one.model} {one.what}: {tell(by_clock)} by the clock, {tell(by_cores)} by the time of the cores")
    if not asked.model:
        atomic.write_bytes(KEPT, msgspec.json.format(msgspec.json.encode(run)) + b"\n")
        atomic.write_text(KEPT.with_suffix(".md"), write_page(run))
    return 0


def measure(models: Sequence[str], *, threads: int, turns: int) -> Run:
    """Every loop of every model."""
    import torch
    import transformers

    torch.set_num_threads(threads)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    found: list[Measured] = []
    for model in models:
        with tempfile.TemporaryDirectory(prefix="throughput-") as folder:
            found.append(measure_training(model, Path(folder), turns=turns))
            found += measure_reading(model, Path(folder), turns=turns)
    return Run(threads=threads, versions={name: version(name) for name in RELEASES}, measured=tuple(found))


def spread(one: Measured, by: Literal["clock", "cores"]) -> Spread:
    """Training: the time of ours over that of the plain loop. Reading: how many times as fast ours is."""
    pairs = [(t.plain, t.ours) if by == "clock" else (t.plain_cpu, t.ours_cpu) for t in one.turns]
    ratios = [ours / plain if one.what == "training" else plain / ours for plain, ours in pairs]
    return Spread(median=statistics.median(ratios), low=min(ratios), high=max(ratios))


def tell(found: Spread) -> str:
    return f"{found.median:.2f} ({found.low:.2f} to {found.high:.2f})"


def configure(model: str, folder: Path) -> Any:
    """The configuration of one miniature, with rows of mixed sizes below the folder."""
    from preflight_ocr.fixtures.corpus.models import place_model
    from preflight_ocr.harness.config.config import load_config

    for split, count, seed in (("train", 64, 1), ("test", PAGES, 2)):
        if not (folder / split).exists():
            render_pages(folder / split, count=count, seed=seed, kind="mixed")
    sizes = {"preprocessing": {"base_size": 256, "image_size": 128, "crop_mode": True}} if "deepseek" in model else {}
    document = {
        "model": {
            "base_model": str(place_model(model)),
            "torch_dtype": "float32",
            "attn_implementation": "eager",
            "trust_remote_code": True,
        },
        "lora": {"r": 8, "lora_alpha": 16, "target_modules": ["q_proj", "v_proj"]},
        "training": {
            "output_dir": str(folder / "out"),
            "per_device_train_batch_size": 4,
            "max_steps": STEPS,
            "logging_steps": 4,
            "save_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
            "use_cpu": True,
        },
        "data": {"train_path": str(folder / "train"), "test_path": str(folder / "test"), **sizes},
        "evaluation": {"max_new_tokens": TOKENS},
    }
    path = folder / "preflight.yaml"
    path.write_text(json.dumps(document), encoding="utf-8")
    return load_config(path)


def measure_training(model: str, folder: Path, *, turns: int) -> Measured:
    """Our training loop, as `run-training` has it behind its check, and a bare Trainer. Raises ValueError where one of
    them learns something else than the other."""
    import torch
    import transformers

    from preflight_ocr.harness.training.callbacks import record_history
    from preflight_ocr.harness.training.train import (
        build_arguments,
        build_trainer,
        load_parts,
        run_anywhere,
        watch_signals,
    )

    config = configure(model, folder)
    with run_anywhere():
        transformers.set_seed(config.training.seed)
        parts = load_parts(config)
        first = {name: value.detach().clone() for name, value in parts.model.named_parameters() if value.requires_grad}

        def begin() -> None:
            with torch.no_grad():
                for name, value in parts.model.named_parameters():
                    if value.requires_grad:
                        value.copy_(first[name])
            transformers.set_seed(config.training.seed)

        def train_plainly() -> list[float]:
            begin()
            arguments, _ = build_arguments(config)
            trainer = transformers.Trainer(
                model=parts.model, args=arguments, data_collator=parts.collator, train_dataset=parts.train_rows
            )
            trainer.train()
            return _list_losses(trainer)

        def train_with_ours() -> list[float]:
            begin()
            trainer, _ = build_trainer(config, parts)
            record_history(trainer, config.training.output_dir)
            stopper = watch_signals(trainer)
            assert stopper is not None
            with stopper.listen():
                trainer.train()
            return _list_losses(trainer)

        found = take_turns(train_plainly, train_with_ours, turns=turns)
    return Measured(what="training", model=model, amount=STEPS, turns=found)


def _list_losses(trainer: Any) -> list[float]:
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def measure_reading(model: str, folder: Path, *, turns: int) -> list[Measured]:
    """What `preflight evaluate` and `preflight predict` do once the model is loaded, and `generate` page by page.

    Raises ValueError where one of them reads something else than the others.
    """
    from preflight_ocr.harness.commands.trained.evaluate import evaluate
    from preflight_ocr.harness.commands.trained.predict import find_pages, read_pages
    from preflight_ocr.harness.training.data import Rows
    from preflight_ocr.harness.training.reader import open_reader

    config = configure(model, folder)
    size = config.training.per_device_eval_batch_size
    with open_reader(config, None) as reader:
        rows = Rows(config.data.test_path)
        files = [Path(rows[index]["image_path"]) for index in range(len(rows))]

        def read_plainly() -> list[str]:
            return [read_one(reader, rows[index]) for index in range(len(rows))]

        def read_by_evaluate() -> list[str]:
            found = evaluate(
                reader,
                rows,
                split="test",
                adapter=None,
                batch_size=size,
                limit=None,
                progress=lambda _: None,
                versions={},
            )
            assert found is not None
            return [row.read["base"] for row in sorted(found.rows, key=lambda row: row.number)]

        def read_by_predict() -> list[str]:
            pages, _, _ = find_pages(files)
            read = read_pages(reader, pages, batch_size=size, max_new_tokens=TOKENS, dpi=200)
            return [str(record.text) for records in read for record in records]

        ways: dict[What, Callable[[], list[str]]] = {"evaluate": read_by_evaluate, "predict": read_by_predict}
        return [
            Measured(what=what, model=model, amount=PAGES, turns=take_turns(read_plainly, read, turns=turns))
            for what, read in ways.items()
        ]


def read_one(reader: Any, row: Any) -> str:
    """One page as anybody would read it: the prompt, `generate`, the text."""
    import torch

    from preflight_ocr.harness.training.predict import list_ends

    tokenizer = reader.collator.tokenizer
    batch = reader.collator.prompts([row])
    with torch.no_grad():
        written = reader.model.generate(
            **batch,
            max_new_tokens=TOKENS,
            do_sample=False,
            eos_token_id=list(list_ends(reader.model, tokenizer)),
            pad_token_id=tokenizer.pad_token_id,
        )
    return str(tokenizer.decode(written[0, batch["input_ids"].shape[1] :], skip_special_tokens=True))


def take_turns(plain: Callable[[], Any], ours: Callable[[], Any], *, turns: int) -> tuple[Turn, ...]:
    """Both once to warm up, then in turns, of which every second begins with ours. Raises ValueError where their results
    differ: they would not have done the same."""
    if (expected := plain()) != (got := ours()):
        differing = next((pair for pair in zip(expected, got, strict=False) if pair[0] != pair[1]), (expected, got))
        raise ValueError(f"the plain loop gave {differing[0]!r}, ours {differing[1]!r}")
    found = []
    for number in range(turns):
        times: dict[str, tuple[float, float]] = {}
        for name, call in (("plain", plain), ("ours", ours))[:: 1 if number % 2 else -1]:
            clock, cores = time.perf_counter(), time.process_time()
            result = call()
            times[name] = (time.perf_counter() - clock, time.process_time() - cores)
            if result != expected:
                raise ValueError(f"{name} gave another result in turn {number + 1}")
        found.append(
            Turn(
                plain=round(times["plain"][0], 4),
                ours=round(times["ours"][0], 4),
                plain_cpu=round(times["plain"][1], 4),
                ours_cpu=round(times["ours"][1], 4),
            )
        )
    return tuple(found)


def read_run() -> Run:
    """What is kept."""
    return msgspec.json.decode(KEPT.read_bytes(), type=Run)


def write_page(run: Run) -> str:
    """The page of the documentation."""
    versions = ", ".join(f"{name} {release}" for name, release in run.versions.items())
    titles = ("model", "loop", "of each turn", "turns", "by the clock", "by the time of the cores")
    rows = []
    for one in run.measured:
        amount = f"{one.amount} {'steps' if one.what == 'training' else 'pages'}"
        by_clock, by_cores = tell(spread(one, "clock")), tell(spread(one, "cores"))
        rows.append((one.model, one.what, amount, str(len(one.turns)), by_clock, by_cores))
    lines = [
        "# Throughput",
        "",
        "Written from the last `python -m docs.measure.throughput`.",
        "",
        "*training*: the time of our loop over that of a bare `transformers.Trainer` with the same collator, rows and",
        "seed; 1.03 would be 3 % more. Both gave the same losses, to the last digit that Trainer logs. *evaluate* and",
        "*predict*: how many times as fast as a loop that calls `generate` for one page after the other. All read the same",
        "texts. The pages are of four sizes, and the models are miniatures with random weights, so that most pages are read",
        "to the end of what is allowed.",
        "",
        tabulate(titles, rows),
        "",
        "Medians, with the smallest and the largest of the turns. The CPU was shared with other work: both sides take",
        f"turns, and the time of the cores depends less on what else ran. {run.threads} threads, {versions}.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
