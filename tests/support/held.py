"""A project whose training program is somebody's own: a miniature, rows of no form of ours, and the words that start it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from preflight_ocr.fixtures.native import find_obstacle, load_recipe, write_model
from tests.support.places import ROOT

PROGRAMS = ROOT / "tests" / "support" / "programs"
TEXTS = ("the first line of the page", "a second page with more text", "third", "the fourth row")


def write_held_project(folder: Path) -> Path:
    """The folder with `model` and `data`; its miniature's processor needs no torchvision. Skips where it cannot be had."""
    if obstacle := find_obstacle(load_recipe("gemma3")):
        pytest.skip(obstacle)
    write_model("gemma3", folder / "model")
    write_rows(folder / "data")
    return folder


def write_rows(data: Path) -> None:
    """Pages, and a row for each under names of somebody's own."""
    data.mkdir()
    lines = []
    for number, text in enumerate(TEXTS):
        page = Image.new("RGB", (120 - 10 * number, 80 + 20 * number), "white")
        ImageDraw.Draw(page).text((5, 5), text[:10], fill="black")
        page.save(data / f"{number}.png")
        lines.append(json.dumps({"page": f"{number}.png", "question": f"What is on page {number}?", "answer": text}))
    (data / "rows.jsonl").write_text("\n".join(lines), encoding="utf-8")


def list_words(project: Path, program: str, *fault: str) -> list[str]:
    """The command that trains with one of PROGRAMS."""
    return [sys.executable, str(PROGRAMS / program), str(project / "model"), str(project / "data"), *fault]
