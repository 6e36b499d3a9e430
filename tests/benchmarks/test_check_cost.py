"""What a full check costs, held against what a careful user would do anyway: start the training and see one step."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import pytest

from docs.measure.speed import DRY_RUN, IMPORTS, PREFLIGHT
from preflight_ocr.fixtures.corpus.plant import write_project
from tests.support.places import ROOT

RUNS = 3
MOST = 4.0
MOST_AGAIN = 0.5


@pytest.fixture
def measure(tmp_path: Path):
    project = write_project(tmp_path / "project", [])
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "LOCALAPPDATA": str(tmp_path / "cache"),
        "HF_HUB_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
    }

    def run(code: str, *words: str) -> float:
        started = time.perf_counter()
        words = (sys.executable, "-c", code, *words)
        ended = subprocess.run(words, check=False, env=environment, cwd=tmp_path, capture_output=True, encoding="utf-8")
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return time.perf_counter() - started

    def check(*words: str) -> float:
        return run(PREFLIGHT, "check", str(project), *words)

    return check, lambda: run(DRY_RUN, str(project), str(tmp_path / "out")), lambda: run(IMPORTS)


@pytest.mark.slow
def test_a_full_check_costs_at_most_four_dry_runs(measure):
    """Other work on the machine slows both alike, because they take turns; the first pair fills caches."""
    check, dry_run, _ = measure
    check("--fresh"), dry_run()
    pairs = [(check("--fresh"), dry_run()) for _ in range(RUNS)]
    checks, dry_runs = zip(*pairs, strict=True)
    ratio = median(checks) / median(dry_runs)
    print(f"check {median(checks):.2f} s, dry run {median(dry_runs):.2f} s, ratio {ratio:.2f}")
    assert ratio <= MOST, f"check took {checks}, dry run {dry_runs}: {ratio:.2f} times as long"


@pytest.mark.slow
def test_a_second_check_costs_less_than_half_a_dry_run_and_than_importing_the_libraries(measure):
    """Nothing changed: files are read and digested, and no child is started."""
    check, dry_run, imports = measure
    check(), dry_run(), imports()
    again, dry_runs, imported = zip(*[(check(), dry_run(), imports()) for _ in range(RUNS)], strict=True)
    ratios = median(again) / median(dry_runs), median(again) / median(imported)
    print(f"second check {median(again):.2f} s, of a dry run {ratios[0]:.2f}, of the imports {ratios[1]:.2f}")
    assert ratios[0] <= MOST_AGAIN, (again, dry_runs)
    assert ratios[1] <= 1, (again, imported)
