"""What a check costs: `python -m docs.measure.speed` times it by turns with what anybody pays anyway, importing torch and
transformers, and with what most people do to be safe, one step of Trainer. It writes `docs/measured/speed.json`.

Each way is a command in a fresh process, as it is typed. In each round all of them run once, in another order, so that
whatever else the machine does slows all alike; ratios are taken within a round. A check runs its children side by side:
where other work takes the second core, it waits longer than it computes, which is why the processor's seconds stand beside
the clock's. `python -m docs.generate` renders the tables of `docs/measured/speed.md` from it.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median

import msgspec
import yaml

from docs.render.tables import tabulate
from preflight_ocr.fixtures.corpus.models import place_model
from preflight_ocr.fixtures.corpus.plant import write_project
from preflight_ocr.fixtures.pages import compose_text, render_text
from preflight_ocr.harness import atomic

__all__ = ["DRY_RUN", "IMPORTS", "PREFLIGHT", "Case", "Run", "main", "read_results", "render", "summarise"]

RESULTS = Path(__file__).resolve().parents[1] / "measured" / "speed.json"
ROUNDS = 5
A4 = (1240, 1754)  # pixels: 150 dpi
LINES = 26  # of about 60 characters each

PREFLIGHT = "from preflight_ocr.harness.cli import preflight; preflight()"
IMPORTS = "import torch, transformers; from transformers import AutoModel, Trainer"
DRY_RUN = """
import sys
from pathlib import Path

from preflight_ocr.fixtures.corpus.dry_run import assemble
from preflight_ocr.harness.config.config import load_config
from preflight_ocr.harness.training.redirects import redirect_cuda

with redirect_cuda():
    trainer = assemble(load_config(Path(sys.argv[1]), trust=True), Path(sys.argv[2]))
    trainer.args.eval_strategy = trainer.args.save_strategy = "no"
    ended = trainer.train()
assert ended.global_step == 1
"""
"""Trainer, PEFT and our collator with the settings of the YAML file, one step, nothing evaluated and nothing saved: what
every dry run of this model has to pay for."""

WAYS: Mapping[str, str] = {
    "imports": "import torch and transformers",
    "dry run": "one step of Trainer",
    "read": "`check --level read`",
    "check": "`check`, the first",
    "changed": "`check`, `lora.r` changed since the last",
    "again": "`check`, nothing changed",
}


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One project. `seconds` is way -> the time of each round by the clock, `processor` that of all its processes."""

    project: str
    seconds: dict[str, tuple[float, ...]]
    processor: dict[str, tuple[float, ...]]

    def compare(self, way: str, other: str) -> tuple[float, float, float]:
        """The median, the least and the most of the rounds' ratios."""
        ratios = [one / two for one, two in zip(self.seconds[way], self.seconds[other], strict=True)]
        return median(ratios), min(ratios), max(ratios)


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """Every case, and what they were made with. `load` is how many processes ran or waited on average, ours among them."""

    machine: str
    threads: str
    load: float
    rounds: int
    versions: dict[str, str]
    cases: tuple[Case, ...]


def write_small(place: Path, model: str) -> Path:
    """The healthy project of the corpus: pages of up to 900 x 500 pixels, small views."""
    return write_project(place / "project", [], model=model)


def write_a4(place: Path, model: str) -> Path:
    """Four A4 pages full of text, and the YAML file that `preflight init` writes for them."""
    folder = place / "project"
    for split, count in (("train", 4), ("val", 1)):
        rows = []
        (folder / "pages" / split).mkdir(parents=True)
        for number in range(count):
            rng = random.Random(f"{split}/{number}")
            width, height = A4
            text = "\n".join(" ".join(_compose_line(rng)) for _ in range(LINES))
            render_text(text, width=width, height=height, rng=rng).save(folder / "pages" / split / f"{number}.png")
            rows.append({"image_path": f"{number}.png", "text": text})
        (folder / "pages" / split / "metadata.json").write_bytes(msgspec.json.encode(rows))
    shutil.copytree(place_model(model), folder / "model", ignore=shutil.ignore_patterns("__pycache__"))
    path = folder / "preflight.yaml"
    words = ("init", "--model", "model", "--data", "pages", "-o", path.name, "--trust")
    subprocess.run([sys.executable, "-c", PREFLIGHT, *words], cwd=folder, check=True, capture_output=True)
    return path


def _compose_line(rng: random.Random) -> list[str]:
    """About 60 characters."""
    words: list[str] = []
    while len(" ".join(words)) < 54:
        words += compose_text(rng, script="latin", width=100, height=100).split()
    return words


PROJECTS: Mapping[str, tuple[Callable[[Path, str], Path], str]] = {
    "DeepSeek-OCR miniature, float32, small pages": (write_small, "deepseek_ocr"),
    "Qwen2.5-VL miniature, float32, small pages": (write_small, "qwen2_5_vl"),
    "DeepSeek-OCR miniature, bfloat16, A4 pages": (write_a4, "deepseek_ocr"),
    "Qwen2.5-VL miniature, A4 pages": (write_a4, "qwen2_5_vl"),
}


def measure(project: str, rounds: int) -> Case:
    """All ways of one project by turns. The first round fills caches and is not counted."""
    write, model = PROJECTS[project]
    with tempfile.TemporaryDirectory(prefix="preflight-speed-") as folder:
        place = Path(folder).resolve()
        path = write(place, model)
        seconds: dict[str, list[float]] = {way: [] for way in WAYS}
        processor: dict[str, list[float]] = {way: [] for way in WAYS}
        order = random.Random(0)
        for number in range(rounds + 1):
            calls = list_calls(path, place, rank=4 + number)
            # What is taken over is what the first check has left: these three keep their order.
            units = [("imports",), ("dry run",), ("read",), ("check", "changed", "again")]
            for way in (way for unit in order.sample(units, len(units)) for way in unit):
                begin, computed = time.perf_counter(), _sum_processor()
                calls[way]()
                if number:
                    seconds[way].append(round(time.perf_counter() - begin, 3))
                    processor[way].append(round(_sum_processor() - computed, 3))
    return Case(
        project=project,
        seconds={way: tuple(times) for way, times in seconds.items()},
        processor={way: tuple(times) for way, times in processor.items()},
    )


def _sum_processor() -> float:
    """Seconds that processes which have ended computed for this one; 0 where the system does not count them (Windows)."""
    found = os.times()
    return found.children_user + found.children_system


def list_calls(path: Path, place: Path, *, rank: int) -> dict[str, Callable[[], None]]:
    """Way -> what carries it out. `rank` is the value that `lora.r` is changed to, another in each round."""
    environment = {
        **os.environ,
        "XDG_CACHE_HOME": str(place / "cache"),
        "XDG_STATE_HOME": str(place / "state"),
        "LOCALAPPDATA": str(place / "cache"),
        "HF_HUB_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }

    def run(code: str, *words: str) -> None:
        command = (sys.executable, "-c", code, *words)
        ended = subprocess.run(command, check=False, env=environment, cwd=place, capture_output=True, encoding="utf-8")
        if ended.returncode:
            raise RuntimeError(f"{words} ended with {ended.returncode}\n{ended.stdout[-3000:]}\n{ended.stderr[-3000:]}")

    def change() -> None:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        document["lora"]["r"] = rank  # another one in each round: what was kept of three states is taken over
        path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        check()

    def check(*words: str) -> None:
        run(PREFLIGHT, "check", str(path), "--trust", *words)

    return {
        "imports": lambda: run(IMPORTS),
        "dry run": lambda: run(DRY_RUN, str(path), str(place / "out-of-dry-run")),
        "read": lambda: check("--level", "read"),
        "check": lambda: check("--fresh"),
        "changed": change,
        "again": check,
    }


def read_results() -> Run:
    """What the last run wrote."""
    return msgspec.json.decode(RESULTS.read_bytes(), type=Run)


def render() -> str:
    """The tables: seconds, and what a check costs as a multiple of the two others."""
    found = read_results()
    lines = []
    for case in found.cases:
        rows = []
        for way, told in WAYS.items():
            times = case.seconds[way]
            ratios = ["-" if way == other else _show(case.compare(way, other)) for other in ("dry run", "imports")]
            computed = f"{median(case.processor[way]):.1f} s"
            rows.append((told, f"{median(times):.1f} s ({min(times):.1f} to {max(times):.1f})", *ratios, computed))
        titles = ("", "by the clock", "times one step of Trainer", "times the imports", "of the processor")
        lines += [f"**{case.project}**", "", tabulate(titles, rows), ""]
    versions = ", ".join(f"{name} {number}" for name, number in found.versions.items())
    lines.append(
        f"`python -m docs.measure.speed`: medians of {found.rounds} rounds that take turns, in brackets the least and the "
        f"most; {found.machine}; {found.threads}; load {found.load:.1f}; {versions}."
    )
    return "\n".join(lines)


def summarise() -> str:
    """One sentence for those who compare."""
    found = read_results()

    def range_(way: str, kind: str) -> str:
        ratios = [case.compare(way, "dry run")[0] for case in found.cases if kind in case.project]
        return f"{min(ratios):.1f} to {max(ratios):.1f}"

    return (
        f"A first check takes {range_('check', 'small pages')} times as long as one step of Trainer with the same settings "
        f"where pages are small, and {range_('check', 'A4')} times where they are A4 pages full of text; a second one, with "
        f"nothing changed, {range_('again', '')} times ([project by project](../measured/speed.md))."
    )


def _show(ratios: tuple[float, float, float]) -> str:
    return f"{ratios[0]:.2f} ({ratios[1]:.2f} to {ratios[2]:.2f})"


def main(arguments: Sequence[str]) -> int:
    """Measure, write the file, print the block."""
    parser = argparse.ArgumentParser(prog="python -m docs.measure.speed", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"that are counted (default: {ROUNDS})")
    given = parser.parse_args(arguments)
    import torch

    loads, cases = [], []
    for project in PROJECTS:
        cases.append(measure(project, given.rounds))
        loads.append(os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0)
        print(f"{project}: {cases[-1].seconds}", flush=True)
    threads = os.environ.get("OMP_NUM_THREADS")
    packages = ("torch", "transformers", "peft", "accelerate")
    run = Run(
        machine=f"{os.cpu_count()} cores, {platform.machine()}, torch with {torch.backends.cpu.get_cpu_capability()}",
        threads=f"OMP_NUM_THREADS={threads}" if threads else "threads as torch chooses them",
        load=round(sum(loads) / len(loads), 2),
        rounds=given.rounds,
        versions={"python": platform.python_version()} | {package: version(package) for package in packages},
        cases=tuple(cases),
    )
    atomic.write_bytes(RESULTS, msgspec.json.format(msgspec.json.encode(run), indent=1) + b"\n")
    print(render())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
