"""A user's project whose folders and modules have the names of ours: nothing of his is taken for ours, nor the other way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from preflight_ocr.fixtures.corpus.plant import write_project
from preflight_ocr.harness.config.config import load_config
from preflight_ocr.harness.verdict.binding import Binding
from preflight_ocr.harness.verdict.clearance import Clearance
from tests.support.places import ROOT

FILES = {
    "harness/__init__.py": "",
    "harness/util.py": 'OWNER = "user"\n',
    "probes/__init__.py": "from probes.pixels import OWNER\n",
    "probes/pixels.py": 'OWNER = "user"\n',
    "reports/helper.py": 'OWNER = "user"\n',  # neither this folder nor the next has an __init__.py
    "fixtures/pages.py": 'OWNER = "user"\n',
    "utils.py": 'OWNER = "user"\n',
    "config.py": 'OWNER = "user"\n',
    "tests/__init__.py": "",
    "tests/support.py": 'OWNER = "user"\n',
    "tests/test_mine.py": """
import config, fixtures.pages, harness.util, probes, reports.helper, tests.support, utils

def test_every_module_is_the_users():
    mine = (config, fixtures.pages, harness.util, probes, reports.helper, tests.support, utils)
    assert {module.OWNER for module in mine} == {"user"}
""",
    "reports/collate.py": """
from pathlib import Path

import config
import fixtures.pages
import probes
import tests.support
import utils
from harness.util import OWNER
from reports.helper import OWNER as HELPER
from preflight_ocr.harness.config.config import load_config
from preflight_ocr.harness.families.anatomy import unwrap
from preflight_ocr.harness.training.model import load_processor
from preflight_ocr.harness.training.train import build_own_collator

MINE = (config, fixtures.pages, probes, tests.support, utils)


def collator(given, processor, model):
    settings = load_config(Path(__file__).parents[1] / "project.yaml")  # what write-tests gives is the bare YAML
    assert {OWNER, HELPER, *(module.OWNER for module in MINE)} == {"user"}
    return build_own_collator(settings, unwrap(model)[0], load_processor(settings))
""",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A healthy project with the DeepSeek-OCR miniature, a collator in `reports/`, and a pytest.ini."""
    path = write_project(tmp_path, [])
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    document["training"]["max_steps"] = 2
    document["subject"] = {"collator": "reports.collate:collator", "path": "."}
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = .\ntestpaths = tests\n", encoding="utf-8")
    return tmp_path


def _run(project: Path, *words: str, code: int = 0, **variables: str) -> str:
    """Run a program of Python's in the project, as its owner would; returns what it printed."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH" and "PYTEST" not in name}
    done = subprocess.run(
        [sys.executable, *words],
        cwd=project,
        env={**inherited, "PYTHONIOENCODING": "utf-8", **variables},
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=300,
    )
    assert done.returncode == code, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def _preflight(project: Path, *words: str, code: int = 0, **variables: str) -> str:
    return _run(project, "-m", "preflight_ocr", *words, code=code, **variables)


@pytest.mark.parametrize("variables", [{}, {"PYTHONPATH": "."}], ids=["plain", "PYTHONPATH"])
def test_reading_takes_no_module_of_the_users_for_a_library(project: Path, variables: dict[str, str]) -> None:
    _preflight(project, "check", "project.yaml", "--level", "read", "--json", "report.json", **variables)
    report = json.loads((project / "report.json").read_text(encoding="utf-8"))
    assert report["findings"] == []
    assert next(o["outcome"] for o in report["outcomes"] if o["id"] == "VER002-removed_api") == "kept"


def test_a_library_of_that_name_further_down_the_path_does_not_change_it(project: Path, tmp_path: Path) -> None:
    installed = project / "lib" / "site-packages"
    for name in ("harness", "utils"):
        (installed / name).mkdir(parents=True)
        (installed / name / "__init__.py").write_text('raise ImportError("the library\'s")\n', encoding="utf-8")
    said = _preflight(project, "check", "project.yaml", "--level", "read", PYTHONPATH=str(installed))
    assert "NOTHING FOUND BY READING" in said


def test_a_name_that_a_library_lacks_is_still_reported_beside_them(project: Path) -> None:
    collate = project / "reports" / "collate.py"
    collate.write_text("from transformers import NoSuchModel\n" + collate.read_text(encoding="utf-8"), encoding="utf-8")
    said = _preflight(project, "check", "project.yaml", "--level", "read", code=12)
    assert "transformers.NoSuchModel" in said and "reports.helper" not in said


def test_pytest_has_the_users_tests_and_every_contract(project: Path) -> None:
    words = ("--preflight-config", "project.yaml", "--preflight-level", "read", "-q", "-p", "no:cacheprovider")
    said = _run(project, "-m", "pytest", *words)
    assert "passed" in said and "failed" not in said and "error" not in said
    for words in (("-m", "pytest"), ("-c", "import sys, pytest; sys.exit(pytest.main())")):
        assert "1 passed" in _run(project, *words, "-q", "-p", "no:cacheprovider")


def test_a_clearance_is_bound_to_the_users_folder_without_an_init_file(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [place for place in sys.path if Path(place).resolve() != ROOT])
    config = load_config(project / "project.yaml")
    bound = Binding(config).settle(())
    clearance = Clearance.issue(bound, verdict="clear", level="ran", facts_digest="0" * 64)
    assert clearance.still_holds(config)
    helper = project / "reports" / "helper.py"
    helper.write_text(helper.read_text(encoding="utf-8") + "CHANGED = True\n", encoding="utf-8")
    assert not clearance.still_holds(config)


@pytest.mark.slow
def test_every_command_works_in_it(project: Path) -> None:
    assert "VER002" in _preflight(project, "list")
    assert "removed_api" in _preflight(project, "explain", "VER002")
    _preflight(project, "window", "project.yaml")
    said = _preflight(project, "check", "project.yaml", "--json", "report.json")
    assert "CLEAR" in said.upper()
    said = _run(project, "-m", "pytest", "-q", "--preflight-config", "project.yaml", "-p", "no:cacheprovider")
    assert "passed" in said and "failed" not in said and "error" not in said
    _preflight(project, "report", "--compare", "report.json", "report.json")
    _preflight(project, "memory", "project.yaml")
    _preflight(project, "bench", "project.yaml", "--batch", "1", "--repeats", "2")
    _preflight(project, "fuzz", "project.yaml", "--examples", "2")
    _preflight(project, "write-tests", "project.yaml", "-o", "contract")
    assert "passed" in _run(project, "-m", "pytest", "-q", "contract", "-p", "no:cacheprovider")
    program = "from preflight_ocr.harness.cli import run_training; run_training(prog_name='run-training')"
    assert "Trained 2 steps" in _run(project, "-c", program, "--config", "project.yaml")
