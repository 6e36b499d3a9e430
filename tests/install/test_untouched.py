"""Installing into somebody's environment adds to it and replaces nothing; without torch, what is read is read all the same.

The environments are built by pip, so that these tests take minutes and need the packages at hand.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from preflight_ocr.fixtures.corpus.plant import write_project

pytestmark = pytest.mark.slow

THEIRS = ("transformers==4.46.3", "peft==0.13.2", "pillow==10.3.*", "numpy==1.26.*")
TORCH = "torch==2.13.0"
ADDED = {
    "click",
    "markdown-it-py",
    "markupsafe",
    "mdurl",
    "msgspec",
    "nvidia-ml-py",
    "preflight-ocr",
    "psutil",
    "pyyaml",
}


def _make_environment(folder: Path, *packages: str) -> Path:
    """A virtual environment with these packages; returns its interpreter. Skips where pip cannot get them."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=120)
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if packages:
        words = ["-m", "pip", "install", "--quiet", *packages]
        done = subprocess.run([str(python), *words], capture_output=True, encoding="utf-8", timeout=1200)
        if done.returncode:
            pytest.skip(f"pip cannot install {' '.join(packages)} here: {done.stderr.strip().splitlines()[-1]}")
    return python


def _freeze(python: Path) -> dict[str, str]:
    done = subprocess.run(
        [str(python), "-m", "pip", "freeze"], capture_output=True, encoding="utf-8", timeout=120, check=True
    )
    lines = (line.partition(" @ ") if " @ " in line else line.partition("==") for line in done.stdout.splitlines())
    return {name.lower(): version for name, _, version in lines}


def _install(python: Path, wheel: Path) -> None:
    done = subprocess.run(
        [str(python), "-m", "pip", "install", "--quiet", str(wheel)], capture_output=True, encoding="utf-8", timeout=600
    )
    assert done.returncode == 0, done.stderr


def _preflight(python: Path, *words: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH" and "PYTEST" not in name}
    return subprocess.run(
        [str(python), "-m", "preflight_ocr", *words],
        env={**inherited, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=300,
    )


def test_an_environment_of_older_libraries_stays_as_it_was_but_for_additions(wheel: Path, tmp_path: Path) -> None:
    python = _make_environment(tmp_path / "theirs", TORCH, *THEIRS)
    before = _freeze(python)
    _install(python, wheel)
    after = _freeze(python)
    assert {name: after.get(name) for name in before} == before
    assert after.keys() - before.keys() <= ADDED
    project = write_project(tmp_path / "project", [])
    checked = _preflight(python, "check", str(project))
    assert checked.returncode == 0, checked.stdout[-3000:] + checked.stderr[-1000:]
    assert "not installed" not in checked.stdout
    shutil.rmtree(tmp_path / "theirs")  # it holds gigabytes


def test_reading_works_where_torch_was_never_installed(wheel: Path, tmp_path: Path) -> None:
    python = _make_environment(tmp_path / "nothing")
    _install(python, wheel)
    assert _freeze(python).keys().isdisjoint({"torch", "transformers", "peft", "accelerate", "pillow", "numpy"})
    project = write_project(tmp_path / "project", [])
    checked = _preflight(python, "check", str(project), "--level", "read")
    assert checked.returncode == 12  # the miniature's own code imports torch, which is reported
    assert "ENV004 missing_requirement" in checked.stdout and "1 BLOCKER" in checked.stdout
    assert "type `pip install pillow`" in " ".join(checked.stdout.split())
