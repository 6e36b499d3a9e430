"""A real finding: `python -m docs.measure.finding` plants five silent faults in the miniature, checks that project as a user
would, and keeps the verdict (`docs/measured/finding.txt`) and pictures of its page (`docs/images/`).

README and the site show both. The pictures need Chromium; `--no-pictures` leaves them as they are.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from docs.render.measurements import FINDING
from preflight_ocr.fixtures.corpus.plant import write_project
from preflight_ocr.harness import atomic
from preflight_ocr.harness.check.check import check
from preflight_ocr.harness.config.config import load_config
from preflight_ocr.harness.verdict.report import Report
from preflight_ocr.reports import html, terminal
from tests.support.browser import start_browser

SILENT_FAULTS = ("chain-13", "chain-14", "chain-15", "chain-16", "chain-17")
IMAGES = Path(__file__).resolve().parents[1] / "images"
WINDOW = {"width": 1200, "height": 1000}
COLOURS = 192
"""Enough for a page of text and its few colours; a third of the bytes."""


def main(words: Sequence[str]) -> int:
    """Check, write the text, take the pictures."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder).resolve()
        report = check_project(place)
        atomic.write_text(FINDING, f"{_hide(terminal.render(report), place)}\n")
        if "--no-pictures" not in words:
            page = place / "report.html"
            page.write_text(_hide(html.render(report), place), encoding="utf-8")
            take_pictures(page)
    sys.stdout.write(terminal.render(report) + "\n")
    return 0


def check_project(place: Path) -> Report:
    """The project as somebody would have it, with its model beside it, and the verdict on it."""
    path = write_project(place / "project", SILENT_FAULTS)
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    model = Path(document["model"]["base_model"])
    shutil.copytree(model, place / model.name)
    document["model"]["base_model"] = os.fspath(place / model.name)
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return check(load_config(path), trust=True, illustrated=True)


def take_pictures(page: Path) -> None:
    """The top of the page in light and dark, and the first row as the model sees it."""
    IMAGES.mkdir(exist_ok=True)
    with start_browser() as browser:
        for scheme in ("light", "dark"):
            context = browser.new_context(viewport=WINDOW, color_scheme=scheme)
            shown = context.new_page()
            shown.goto(page.as_uri())
            _keep(shown.screenshot(), f"report-{scheme}.png")
            _keep(shown.locator("#rows").screenshot(), f"rows-{scheme}.png", height=1100)
            context.close()


def _keep(picture: bytes, name: str, height: int | None = None) -> None:
    from PIL import Image

    image: Any = Image.open(io.BytesIO(picture)).convert("RGB")
    if height is not None:
        image = image.crop((0, 0, image.width, min(height, image.height)))
    out = io.BytesIO()
    image.quantize(COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
    atomic.write_bytes(IMAGES / name, out.getvalue())


def _hide(text: str, place: Path) -> str:
    """Paths from the project's own folder on: where the machine keeps it is of no interest."""
    return text.replace(f"{place}{os.sep}", "")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
