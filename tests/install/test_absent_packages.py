"""Where the packages are absent that are judged: what is read is read, all else says in one sentence what to type."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from preflight_ocr.fixtures.corpus.plant import write_project
from tests.support.places import MODELS

TYPED = 'type `pip install "preflight-ocr[train]"`'
LOG = "ValueError: Image features and image tokens do not match: tokens: 0, features 100\n"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A healthy project with a budget, and beside it a log."""
    folder = tmp_path_factory.mktemp("project")
    path = write_project(folder, [])
    document = yaml.safe_load(path.read_text(encoding="utf-8")) | {"budget": {"vram_gb": 16}}
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    (folder / "train.log").write_text(LOG, encoding="utf-8")
    return folder


@pytest.fixture
def run(bare: Path, project: Path):
    """A program of Preflight's with `bare` alone behind the standard library; what it printed, its code held to `code`."""
    inherited = {name: value for name, value in os.environ.items() if "PYTEST" not in name}

    def run(*words: str, code: int = 0, program: str = "preflight") -> str:
        start = f"import sys; sys.argv[0] = {program!r}; from preflight_ocr.harness.cli import {program}; {program}()"
        done = subprocess.run(
            [sys.executable, "-S", "-P", "-c", start, *words],
            cwd=project,
            env={**inherited, "PYTHONPATH": str(bare), "PYTHONIOENCODING": "utf-8"},
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=120,
        )
        said = done.stdout + done.stderr
        assert done.returncode == code, said[-3000:]
        assert "Traceback" not in said and "itself failed:" not in said
        return " ".join(said.split())

    return run


def test_this_environment_has_none_of_them(run, bare: Path) -> None:
    assert not {"torch", "transformers", "peft", "PIL", "numpy"} & {path.name for path in bare.iterdir()}


def test_reading_needs_none_of_them(run, project: Path) -> None:
    words = ("--html", "read.html", "--json", "read.json", "--sarif", "read.sarif", "--junit", "read.xml")
    run("check", "project.yaml", "--level", "read", *words, code=12)
    report = json.loads((project / "read.json").read_text(encoding="utf-8"))
    # The miniature's own code imports torch and transformers: that they are absent is the one thing that is wrong.
    assert [finding["code"] for finding in report["findings"]] == ["ENV004"]
    outcomes = {outcome["id"].partition("-")[0]: outcome for outcome in report["outcomes"]}
    assert outcomes["DAT001"]["outcome"] == "kept"
    for code in ("DAT002", "DAT003"):
        assert outcomes[code]["outcome"] == "skipped"
        assert outcomes[code]["reason"].endswith("which is not installed here; type `pip install pillow`")
    assert "crashed" not in {outcome["outcome"] for outcome in report["outcomes"]}


def test_a_missing_page_is_found_without_pillow(run, project: Path) -> None:
    rows = json.loads((project / "train" / "metadata.json").read_text(encoding="utf-8"))
    gone = project / "gone"
    gone.mkdir()
    (gone / "metadata.json").write_text(json.dumps(rows), encoding="utf-8")
    document = yaml.safe_load((project / "project.yaml").read_text(encoding="utf-8"))
    document["data"] = {"train_path": "gone"}
    (project / "gone.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    assert "DAT001 missing_image_file" in run("check", "gone.yaml", "--level", "read", "--only", "DAT", code=12)


@pytest.mark.parametrize("level", ["ran", "gpu"])
def test_a_check_that_would_run_says_what_is_absent(run, level: str) -> None:
    said = run("check", "project.yaml", "--level", level, "--only", "COL,LRN", code=3)
    assert (
        f"needs torch, transformers, peft, accelerate, safetensors, pillow and numpy, which are not installed here; {TYPED}"
        in said
    )


@pytest.mark.parametrize(
    "words",
    [
        ("bench", "project.yaml"),
        ("corpus",),
        ("demo", "-o", "demo"),
        ("matrix", "project.yaml"),
        ("write-tests", "project.yaml", "-o", "contract"),
    ],
    ids=lambda words: words[0],
)
def test_a_command_that_runs_a_model_refuses_with_the_command_to_type(run, words: tuple[str, ...]) -> None:
    said = run(*words, code=2)
    assert said.startswith("Error: ") and said.endswith(TYPED)


def test_training_refuses_before_it_checks(run) -> None:
    said = run("--config", "project.yaml", code=2, program="run_training")
    assert said.startswith("Error: training needs torch") and said.endswith(TYPED)


def test_fuzzing_and_drawing_name_the_one_package(run) -> None:
    assert "type `pip install hypothesis`" in run("fuzz", "project.yaml", code=2)
    assert run("memory", "project.yaml", "--plot", "m.svg", code=2).endswith("type `pip install matplotlib`")


def test_preparing_data_names_both_extras(run) -> None:
    said = run("prepare-data", "train", "-o", "out", code=2)
    assert said.endswith('type `pip install "preflight-ocr[train,data]"`') and "datasets, imagehash, pillow" in said


def test_what_needs_no_model_works(run, project: Path) -> None:
    for words in (
        ("--help",),
        ("--version",),
        ("list",),
        ("explain", "COL001"),
        ("index", "--help"),
        ("matrix", "--list"),
    ):
        run(*words)
    assert "transformers is not installed" in run("list", "--models")
    run("window", str(MODELS / "deepseek_ocr"))
    run("probe", str(MODELS / "dots_ocr"))
    assert "no code was run" in run("memory", str(MODELS / "deepseek_ocr"))
    assert TYPED in run("memory", "project.yaml", code=3)
    assert "COL002" in run("diagnose", "train.log", code=12)
    run("check", "project.yaml", "--level", "read", "--json", "a.json", code=12)
    assert "0 new" in run("report", "--compare", "a.json", "a.json")
