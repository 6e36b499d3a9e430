"""Small scans of drawn text, and what `prepare-data` wrote of them."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from PIL import Image

from preflight_ocr.fixtures.pages import render_text


def draw(text: str, *, seed: int = 0) -> Image.Image:
    return render_text(text, width=240, height=48, rng=random.Random(seed)).convert("L")


def fill_folder(folder: Path, count: int, *, first: int = 0) -> list[str]:
    """Pictures 0.png, 1.png ... and their texts; no two look alike."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = []
    for number in range(first, first + count):
        texts.append(f"{chr(97 + number % 26) * 2}{number:03d} {chr(97 + number * 7 % 26)}{number * 37 % 1000}")
        draw(texts[-1], seed=number).save(folder / f"{number:03d}.png")
        (folder / f"{number:03d}.txt").write_text(texts[-1] + "\n", encoding="utf-8")
    return texts


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def read_rows(output: Path) -> dict[str, list[dict[str, Any]]]:
    return {split: read_lines(output / split / "metadata.jsonl") for split in ("train", "val", "test")
            if (output / split).exists()}  # fmt: skip


def list_rows(output: Path) -> list[dict[str, Any]]:
    return [row for rows in read_rows(output).values() for row in rows]


def read_rejected(output: Path) -> dict[str, str]:
    return {line["origin"]: line["reason"] for line in read_lines(output / "rejected.jsonl")}
