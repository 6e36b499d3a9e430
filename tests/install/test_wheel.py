"""What the wheel holds and what it says of itself."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import preflight_ocr

JUDGED = {"torch", "torchvision", "transformers", "peft", "accelerate", "safetensors", "pillow", "numpy", "tokenizers"}
COMMANDS = {"preflight", "preflight-ocr", "run-training"}


@pytest.fixture(scope="module")
def names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


@pytest.fixture(scope="module")
def described(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        [path] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return Parser().parsestr(archive.read(path).decode("utf-8"))


def test_one_import_name_is_installed_and_nothing_else(names: list[str]) -> None:
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"preflight_ocr"}
    assert len(tops) == 2
    assert {name.split("/")[1] for name in names if name.startswith("preflight_ocr/")} == {
        "__init__.py", "__main__.py", "py.typed", "harness", "probes", "reports", "fixtures",
    }  # fmt: skip


def test_what_the_commands_open_is_in_it(names: list[str]) -> None:
    inside = {name.removeprefix("preflight_ocr/") for name in names}
    for model in ("deepseek_ocr", "dots_ocr"):
        assert {f"fixtures/models/{model}/{name}" for name in ("config.json", "model.safetensors")} <= inside
    for folder, ending in (
        ("fixtures/native/", ".py"),
        ("fixtures/corpus/faults/", ".py"),
        ("harness/commands/templates/", ".j2"),
        ("reports/templates/", ".j2"),
        ("reports/templates/", ".css"),
        ("harness/commands/window/index/", ""),
    ):
        assert any(name.startswith(folder) and name.endswith(ending) for name in inside), folder


def test_what_only_the_clone_needs_stays_out_of_it(names: list[str]) -> None:
    parts = {part for name in names for part in Path(name).parts[:-1]}
    assert not parts & {"tests", "docs", "specimens", "support", "public", "__pycache__", ".github", ".ci"}


def test_nothing_that_is_judged_is_required(described: Message) -> None:
    requirements = [Requirement(text) for text in described.get_all("Requires-Dist", [])]
    plain = {r.name.lower() for r in requirements if not r.marker or r.marker.evaluate({"extra": ""})}
    train = {r.name.lower() for r in requirements if r.marker and r.marker.evaluate({"extra": "train"})}
    assert not plain & JUDGED
    assert {"torch", "transformers", "peft", "accelerate", "pillow", "numpy"} <= train


def test_it_says_its_licence_its_version_and_its_commands(wheel: Path, described: Message) -> None:
    assert described["License-Expression"] == "Apache-2.0"
    assert described["Version"] == preflight_ocr.__version__
    assert described["Keywords"] and "Typing :: Typed" in described.get_all("Classifier", [])
    with zipfile.ZipFile(wheel) as archive:
        [path] = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        text = archive.read(path).decode("utf-8")
    assert {line.partition(" = ")[0] for line in text.splitlines()} >= COMMANDS


def test_importing_the_package_brings_in_nothing_of_it() -> None:
    program = "import sys, preflight_ocr; print(preflight_ocr.__version__, *sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8", timeout=60)
    version, *modules = done.stdout.split()
    assert version == preflight_ocr.__version__
    assert [name for name in modules if name.startswith("preflight_ocr.")] == []
