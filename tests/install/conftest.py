"""The wheel as a user gets it, and an environment in which nothing is installed but what it requires."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.support.places import ROOT

SOURCES = ("harness", "probes", "reports", "fixtures", "tests", "docs")
FILES = ("pyproject.toml", "setup.py", "README.md", "LICENSE")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built offline from a copy of the sources, so that nothing of the build is left in the clone."""
    place = tmp_path_factory.mktemp("wheel")
    for folder in SOURCES:
        shutil.copytree(ROOT / folder, place / "clone" / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        if (ROOT / name).is_file():
            shutil.copy(ROOT / name, place / "clone")
    words = ["pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "-w", str(place), "."]
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=place / "clone", capture_output=True, encoding="utf-8", timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    [built] = place.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to stand on sys.path in place of site-packages: the wheel, and what it requires without an extra."""
    place = tmp_path_factory.mktemp("bare")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place)
    [described] = place.glob("*.dist-info/METADATA")
    waiting = Parser().parsestr(described.read_text(encoding="utf-8")).get_all("Requires-Dist", [])
    copied: set[str] = set()
    while waiting:
        requirement = Requirement(waiting.pop())
        name = requirement.name.lower()
        if name in copied or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        copied.add(name)
        waiting += metadata.requires(name) or []
        for source in _list_places(name):
            target = place / source.name
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
            else:
                shutil.copy(source, target)
    return place


def _list_places(name: str) -> Iterator[Path]:
    """The folders and modules of a distribution in site-packages, scripts and caches aside."""
    distribution = metadata.distribution(name)
    firsts = {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}
    yield from (Path(str(distribution.locate_file(first))) for first in sorted(firsts))
