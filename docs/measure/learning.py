"""Does it learn: `python -m docs.measure.learning` trains miniatures by the tutorial's commands on printed words, has
`preflight evaluate` read pictures that were held out, and keeps the figures in `docs/measured/learning.json`. What
`evaluate` wrote is kept beside them, a page for each miniature. `python -m docs.generate` renders
`docs/measured/learning.md` from it.

The miniatures' weights are random: what they read, they learned here.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from docs.render.tables import tabulate
from preflight_ocr.fixtures.pages.prints import FONTS, render_prints
from preflight_ocr.harness import atomic

MEASURED = Path(__file__).resolve().parents[1] / "measured"
KEPT = MEASURED / "learning.json"
TRAINED, HELD_OUT = 4000, 240
ACCEPTED = (0, 11)  # nothing found, or a MAJOR finding, with which training goes on all the same
RELEASES = ("torch", "transformers", "peft")
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "lm_head"]

LORA = {"r": 64, "lora_alpha": 64, "target_modules": TARGETS}
TRAINING = {"per_device_train_batch_size": 8, "learning_rate": 3e-3, "warmup_steps": 40, "logging_steps": 50}

LOADER = """from transformers import AutoModelForCausalLM

from preflight_ocr.fixtures.corpus.buffers import restore_buffers


def load(config):
    settings = config.model
    model = AutoModelForCausalLM.from_pretrained(
        settings.base_model,
        torch_dtype=settings.torch_dtype,
        attn_implementation=settings.attn_implementation,
        trust_remote_code=True,
    )
    return restore_buffers(model)
"""
"""What FWD015 tells whoever loads dots.ocr beside transformers 5 to do, without which training is refused."""

RECIPES: dict[str, dict[str, Any]] = {
    "deepseek_ocr": {
        "dtype": "float32",
        "lora": LORA,
        "training": {**TRAINING, "max_steps": 4000},
        "data": {"preprocessing": {"base_size": 256, "crop_mode": False}},
    },
    # Its vision code makes bfloat16 of every page, whatever the weights are.
    "dots_ocr": {
        "dtype": "bfloat16",
        "loader": LOADER,
        "lora": LORA,
        "training": {**TRAINING, "max_steps": 5000},
        "data": {},
    },
}
"""What the YAML file of each miniature says besides where its rows are."""


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """A rate and its 95 % interval, as `evaluate` gave it."""

    value: float
    low: float
    high: float


class Learned(msgspec.Struct, frozen=True, kw_only=True):
    """One miniature. `seconds` is `run-training` whole, its check included, by the clock; `cores` is what all cores worked
    for it; `load` is how many processes were waiting for the two cores when it began, ours not among them."""

    model: str
    threads: int
    settings: dict[str, Any]
    steps: int
    seconds: float
    cores: float
    load: float
    untrained: Rate
    trained: Rate
    exact: Rate
    by_script: dict[str, float]


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """All of them, with what they were trained on and beside which releases."""

    rows: int
    held_out: int
    fonts: tuple[str, ...]
    machine: str
    versions: dict[str, str]
    learned: tuple[Learned, ...]


def main(words: Sequence[str]) -> int:
    """Train, measure and keep; what is not asked for stays as it was measured before."""
    parser = argparse.ArgumentParser(prog="python -m docs.measure.learning")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--model", action="append", choices=tuple(RECIPES), help="may be repeated [default: all]")
    asked = parser.parse_args(words)
    for model in asked.model or RECIPES:
        with tempfile.TemporaryDirectory(prefix="learning-") as folder:
            learned = measure(model, Path(folder), threads=asked.threads)
        print(f"{model}: CER {learned.untrained.value:.3f} -> {learned.trained.value:.3f}", flush=True)
        found = {one.model: one for one in (read_run().learned if KEPT.exists() else ())} | {model: learned}
        run = Run(
            rows=TRAINED,
            held_out=HELD_OUT,
            fonts=FONTS,
            machine=f"{os.cpu_count()} cores, {platform.machine()}",
            versions={name: version(name) for name in RELEASES},
            learned=tuple(found[name] for name in RECIPES if name in found),
        )
        atomic.write_bytes(KEPT, msgspec.json.format(msgspec.json.encode(run)) + b"\n")
    return 0


def measure(model: str, folder: Path, *, threads: int) -> Learned:
    """One miniature. Raises ValueError where a command failed; `evaluate` refuses pictures that were trained on."""
    from preflight_ocr.fixtures.corpus.models import place_model

    render_prints(folder / "train", count=TRAINED, seed=1)
    render_prints(folder / "test", count=HELD_OUT, seed=2)
    path = write_config(model, place_model(model), folder)
    load, began, worked = os.getloadavg()[0], time.perf_counter(), _count_worked()
    run(["run_training", "--config", str(path), "--trust"], threads=threads, folder=folder)
    seconds, cores = time.perf_counter() - began, _count_worked() - worked
    written = folder / "evaluation.json"
    kept = MEASURED / f"learning-{model}.html"
    adapter = folder / "training" / "adapter"
    words = ["evaluate", str(path), "--adapter", str(adapter), "--split", "test", "--trust", "--json", str(written)]
    run(["preflight", *words, "--html", str(folder / "evaluation.html")], threads=threads, folder=folder)
    page = (folder / "evaluation.html").read_text(encoding="utf-8")
    atomic.write_text(kept, page.replace(f"{folder}{os.sep}", ""))
    said = json.loads(written.read_text(encoding="utf-8"))
    sides = said["sides"]
    scripts = {
        group["name"]: group["sides"]["adapter"]["cer"]["value"] for group in said["groups"] if group["by"] == "script"
    }
    recipe = RECIPES[model]
    return Learned(
        model=model,
        threads=threads,
        settings={"lora": recipe["lora"], "training": recipe["training"], "data": recipe["data"]},
        steps=recipe["training"]["max_steps"],
        seconds=round(seconds, 1),
        cores=round(cores, 1),
        load=round(load, 1),
        untrained=_read_rate(sides["base"]["cer"]),
        trained=_read_rate(sides["adapter"]["cer"]),
        exact=_read_rate(sides["adapter"]["exact"]),
        by_script=scripts,
    )


def write_config(model: str, directory: Path, folder: Path) -> Path:
    """The YAML file, as `init` would have written it but for the recipe."""
    recipe = RECIPES[model]
    document = {
        "model": {
            "base_model": str(directory),
            "torch_dtype": recipe["dtype"],
            "attn_implementation": "eager",
            "trust_remote_code": True,
        },
        "lora": recipe["lora"],
        "training": {
            "output_dir": str(folder / "training"),
            "lr_scheduler_type": "cosine",
            "save_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
            **recipe["training"],
        },
        "data": {"train_path": str(folder / "train"), "test_path": str(folder / "test"), **recipe["data"]},
    }
    if loader := recipe.get("loader"):
        (folder / "own_loader.py").write_text(loader, encoding="utf-8")
        document["subject"] = {"model": "own_loader:load", "path": str(folder)}
    path = folder / "preflight.yaml"
    path.write_text(json.dumps(document, indent=1), encoding="utf-8")
    return path


def run(words: Sequence[str], *, threads: int, folder: Path) -> None:
    """One of the project's own commands, in a process of its own."""
    name, *options = words
    code = f"from preflight_ocr.harness.cli import {name}; {name}()"
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
    ended = subprocess.run(
        [sys.executable, "-c", code, *options], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if ended.returncode not in ACCEPTED:
        raise ValueError(f"{name} ended with {ended.returncode}: {(ended.stdout + ended.stderr)[-3000:]}")


def _count_worked() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _read_rate(said: dict[str, float]) -> Rate:
    return Rate(value=round(said["value"], 4), low=round(said["low"], 4), high=round(said["high"], 4))


def read_run() -> Run:
    """What is kept."""
    return msgspec.json.decode(KEPT.read_bytes(), type=Run)


def render() -> str:
    """The table, and the settings of each run."""
    run = read_run()
    titles = (
        "model",
        "steps",
        "untrained CER",
        "CER",
        "exact words",
        "CER by script",
        "`run-training`",
        "of the processor",
        "load",
    )
    rows = []
    for one in run.learned:
        scripts = ", ".join(f"{name.capitalize()} {value:.3f}" for name, value in one.by_script.items())
        took = (f"{one.seconds:.0f} s", f"{one.cores:.0f} s", f"{one.load:.1f}")
        rates = (_tell(one.untrained), _tell(one.trained), _tell(one.exact))
        rows.append((f"[{one.model}](learning-{one.model}.html)", str(one.steps), *rates, scripts, *took))
    versions = ", ".join(f"{name} {release}" for name, release in run.versions.items())
    threads = sorted({one.threads for one in run.learned})
    lines = [
        tabulate(titles, rows),
        "",
        f"`python -m docs.measure.learning`: {run.rows:,} pictures trained on, {run.held_out} held out, in "
        f"{', '.join(run.fonts)}. Rates with their 95 % bootstrap interval. `run-training` is the whole command by the "
        f"clock, its check included; *load* is what else wanted the cores when it began. {run.machine}, OMP_NUM_THREADS="
        f"{' or '.join(map(str, threads))}, {versions}.",
        "",
        *(line for one in run.learned for line in (f"**{one.model}**", "", "```json", _write(one.settings), "```", "")),
    ]
    return "\n".join(lines).rstrip()


def _tell(rate: Rate) -> str:
    return f"{rate.value:.3f} ({rate.low:.3f} to {rate.high:.3f})"


def _write(settings: dict[str, Any]) -> str:
    return json.dumps(settings, indent=1, ensure_ascii=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
