"""Pictures of a page. The command runs in a process of its own: beside the session's browser it needs an event loop too."""

from __future__ import annotations

import subprocess
import sys

from PIL import Image


def _run(*words):
    command = [sys.executable, "-m", "tests.support.screenshots", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _measure_light(path) -> float:
    """The mean of a picture's pixels, 0 to 255."""
    return sum(Image.open(path).convert("L").resize((8, 8)).tobytes()) / 64


def test_four_pictures_are_taken_of_a_page(chromium, pages, tmp_path):
    done = _run(pages["compare"], "-o", tmp_path)
    assert done.returncode == 0, done.stderr
    sizes = {path.name: Image.open(path).size for path in tmp_path.iterdir()}
    assert sizes == {
        f"compare-{scheme}-{device}.png": size
        for scheme in ("light", "dark")
        for device, size in (("desktop", (1280, 900)), ("phone", (375, 812)))
    }
    assert sorted(done.stdout.split()) == sorted(str(tmp_path / name) for name in sizes)
    assert _measure_light(tmp_path / "compare-light-desktop.png") > 200
    assert _measure_light(tmp_path / "compare-dark-desktop.png") < 60


def test_a_page_that_is_not_there_is_named(tmp_path):
    done = _run(tmp_path / "none.html")
    assert done.returncode == 1
    assert "none.html: there is no such file" in done.stderr
