"""A stranger's first hour with a project of his own, typed in and written down as a person sees it.

`python -m tests.newcomer.hour` plays both chapters and writes `reading.txt` and `running.txt` anew; read the difference.
What differs from run to run (folders, seconds, losses, how many contracts there are) is written as N or FOLDER.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import yaml

from preflight_ocr.fixtures.corpus.models import MODELS
from preflight_ocr.fixtures.pages import render_pages
from tests.support.places import ROOT

HERE = Path(__file__).parent

BROKEN = '''\
"""The collator as a newcomer writes it: every token is trained on."""

import preflight_ocr


class Collate:
    def __init__(self, inner):
        self.inner = inner

    def __call__(self, rows):
        batch = self.inner(rows)
        batch["labels"] = batch["input_ids"].clone()
        return batch


def collator(config, processor, model):
    return Collate(preflight_ocr.build_collator(config, model))
'''
MENDED = BROKEN.replace('        batch["labels"] = batch["input_ids"].clone()\n', "").replace(
    "as a newcomer writes it: every token is trained on", "mended: the labels are left as they are"
)


class Hour:
    """The folder of a project, and the transcript so far."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lines: list[str] = []
        self.codes: list[int] = []
        shutil.copytree(MODELS / "deepseek_ocr", folder / "model", ignore=shutil.ignore_patterns("__pycache__"))
        render_pages(folder / "data" / "train", count=12, seed=1, kind="words")
        render_pages(folder / "data" / "val", count=4, seed=2, kind="words")

    def say(self, text: str) -> None:
        """A heading in the transcript."""
        self.lines += ["", f"# {text}"] if self.lines else [f"# {text}"]

    def type(self, line: str, **variables: str) -> int:
        """Run a line as in a shell, and write down what it prints and how it ends."""
        words = shlex.split(line)
        starts = {
            "preflight": ["-m", "preflight_ocr"],
            "run-training": ["-c", "from preflight_ocr.harness.cli import run_training; run_training()"],
            "pytest": ["-m", "pytest", "-p", "no:cacheprovider"],
        }
        self._note(line, [sys.executable, *starts[words[0]], *words[1:]], variables)
        return self.codes[-1]

    def act(self, **inputs: str) -> int:
        """The steps of action.yml with these inputs, as a runner takes them. What pip would install is there already."""
        action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
        given = {name: str(found.get("default", "")) for name, found in action["inputs"].items()} | inputs
        for step in action["runs"]["steps"]:
            if step.get("if") == "inputs.install != ''" and not given["install"]:
                continue
            fill = {
                key: given[re.fullmatch(r"\$\{\{ inputs\.(\w+) \}\}", value)[1]] for key, value in step["env"].items()
            }
            self._note(f"(action.yml) {step['run']}", ["bash", "-euo", "pipefail", "-c", step["run"]], fill)
        return self.codes[-1]

    def edit(self, name: str, change: Callable[[str], str]) -> None:
        """Change a file of the project by hand."""
        path = self.folder / name
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        path.write_text(change(before), encoding="utf-8")
        assert path.read_text(encoding="utf-8") != before, f"{name} is as it was"
        self.lines += ["", f"({name} is edited)"]

    @property
    def text(self) -> str:
        """The transcript."""
        return "\n".join(self.lines) + "\n"

    def _note(self, line: str, words: list[str], variables: dict[str, str]) -> None:
        scripts = Path(sys.executable).parent
        environment = {
            **os.environ,
            "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
            "XDG_CACHE_HOME": str(self.folder.parent / "cache"),
            "XDG_STATE_HOME": str(self.folder.parent / "state"),
            "HF_HUB_OFFLINE": "1",
            "CUDA_VISIBLE_DEVICES": "",
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "100",
            **variables,
        }
        for name in ("PYTEST_ADDOPTS", "PYTEST_CURRENT_TEST", "PYTEST_XDIST_WORKER", "FORCE_COLOR"):
            environment.pop(name, None)
        ended = subprocess.run(
            words,
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            check=False,
        )
        self.codes.append(ended.returncode)
        said = calm(ended.stdout, self.folder)
        self.lines += ["", f"$ {line}", *said.splitlines(), f"(exit code {ended.returncode})"]


def calm(text: str, folder: Path) -> str:
    """The text without what differs from run to run, and without the lines of progress."""
    text = text.replace(str(folder.parent), "FOLDER")
    text = re.sub(r"^ *\d+\.\d s  .*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"clearances/[0-9a-f]+\.json", "clearances/N.json", text)
    text = re.sub(r"\b\d{4}-\d\d-\d\d \d\d:\d\d UTC", "DAY UTC", text)
    text = re.sub(r"\bcheck of [-\d:\sand]+UTC", "check of DAY UTC", text)
    text = re.sub(r"\b\d+ of (the )?\d+ contracts", r"N of \1N contracts", text)
    text = re.sub(r"(SKIPPED|NOT APPLICABLE) \(\d+\)", r"\1 (N)", text)
    text = re.sub(r"^ +\d+  (?=\S)", "    N  ", text, flags=re.MULTILINE)
    text = re.sub(r"\b\d+ (passed|failed|skipped|deselected)", r"N \1", text)
    text = re.sub(r"\bin \d+\.\d+s( \(\S+\))?", "in N s", text)
    text = re.sub(r"^\{'.*\}$", "{...}", text, flags=re.MULTILINE)
    text = re.sub(r"^    N  one row was not known by heart.*\n(?:       .*\n)*", "", text, flags=re.MULTILINE)
    text = re.sub(r"\b\d+\.\d+ on held-out", "N on held-out", text)
    text = re.sub(r"\bloss \d+\.\d+ -> \d+\.\d+", "loss N -> N", text)
    text = re.sub(r"\b(before training is|once it is|guess has)(\s+)\d+\.\d+", r"\1\2N", text)
    return "\n".join(line.rstrip() for line in text.splitlines())


def read_only(hour: Hour) -> None:
    """What takes seconds: a first file, a mistake in it, `--fix`, and the steps of CI."""
    hour.say("A first YAML file; nothing of the model is run")
    hour.type("preflight init --model model --data data")
    hour.type("preflight schema -o preflight.schema.json")
    hour.type("preflight check preflight.yaml --level read")
    hour.say("Two mistakes in it, and --fix")
    hour.edit("preflight.yaml", lambda text: text.replace("learning_rate:", "learning_rte:"))
    hour.edit(
        "preflight.yaml", lambda text: text.replace("remove_unused_columns: false", "remove_unused_columns: true")
    )
    hour.type("preflight check preflight.yaml --level read --fix")
    hour.type("preflight check preflight.yaml --level read -q")
    hour.say("Names that are not there")
    hour.type("preflight check preflght.yaml")
    hour.type("preflight init --model modle --data data -o other.yaml")
    hour.type("preflight explain COL1")
    hour.say("The Action's steps, and the hook of pre-commit")
    hour.act(config="preflight.yaml", install="")
    hour.type("preflight read-files preflight.yaml")


def run_all(hour: Hour) -> None:
    """What runs the model: a healthy project, a broken collator, the training, pytest."""
    hour.say("A first YAML file, with the longest row measured")
    hour.type("preflight init --model model --data data --trust")
    hour.type("preflight check preflight.yaml")
    hour.say("A collator of one's own that trains on every token")
    hour.edit("my_collator.py", lambda text: BROKEN)
    hour.edit("preflight.yaml", lambda text: text + '\nsubject:\n  collator: "my_collator:collator"\n')
    hour.edit(
        "preflight.yaml", lambda text: text.replace("output_dir: training", "output_dir: training\n  max_steps: 2")
    )
    hour.edit("preflight.yaml", lambda text: text.replace("lora:\n", "lora:\n  task_type: SEQ_2_SEQ_LM\n"))
    hour.type("preflight check preflight.yaml --fix")
    hour.type("run-training --config preflight.yaml")
    hour.say("The collator is mended")
    hour.edit("my_collator.py", lambda text: MENDED)
    hour.type("preflight check preflight.yaml")
    hour.type("run-training --config preflight.yaml")
    hour.say("The contracts as pytest items, and the Action at level ran")
    hour.type("pytest -q --preflight-config preflight.yaml -k LBL")
    hour.act(config="preflight.yaml", install="", level="ran")


CHAPTERS: dict[str, Callable[[Hour], None]] = {"reading": read_only, "running": run_all}


def play(chapter: str, folder: Path) -> Hour:
    """Play one chapter in an empty folder."""
    (folder / "project").mkdir(parents=True)
    hour = Hour(folder / "project")
    CHAPTERS[chapter](hour)
    return hour


def main() -> None:
    """Write the golden texts anew."""
    for chapter in sys.argv[1:] or CHAPTERS:
        with tempfile.TemporaryDirectory() as folder:
            hour = play(chapter, Path(folder))
            (HERE / f"{chapter}.txt").write_text(hour.text, encoding="utf-8")
            print(f"{chapter}.txt: {len(hour.codes)} commands")


if __name__ == "__main__":
    main()
