"""One headless Chromium for the session, and every kind of page opened in it as an engineer would: from a file.

Where there is no browser, or no playwright, the tests are skipped and say what to install; nothing is downloaded.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from preflight_ocr.fixtures.pages import render_pages
from preflight_ocr.harness.commands.trained.evaluate import Evaluation
from preflight_ocr.harness.facts import Unknown
from preflight_ocr.reports import comparison, html, json_writer, matrix
from preflight_ocr.reports.evaluation import page as evaluation
from tests.specimens import HEALTHY, altered
from tests.support.browser import DESKTOP, NoBrowser, Opened, start_browser
from tests.support.evaluations import make_evaluation
from tests.support.matrices import make_matrix
from tests.support.reports import SICK, make_report, make_run_report


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    try:
        with start_browser() as browser:
            yield browser
    except NoBrowser as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every kind of page, written once."""
    folder = tmp_path_factory.mktemp("pages")
    sick = make_report(SICK)
    blind = altered(HEALTHY, {"learning": Unknown(reason="the child was ended"), "environment.packages.peft": "0.1"})
    documents = [
        msgspec.json.decode(json_writer.render(report), type=json_writer.Document)
        for report in (sick, make_report(("misaligned_loss", "removed_api"), facts=blind))
    ]
    texts = {
        "healthy": html.render(make_report()),
        "sick": html.render(sick),
        "run": html.render(make_run_report()),
        "compare": comparison.render(comparison.compare(documents[0], documents[1], names=("a.json", "b.json"))),
        "matrix": matrix.render(make_matrix()),
        "evaluation": evaluation.render(_evaluate(folder)),
    }
    paths = {}
    for name, text in texts.items():
        paths[name] = folder / f"{name}.html"
        paths[name].write_text(text, encoding="utf-8")
    return paths


def _evaluate(folder: Path) -> Evaluation:
    """Of a page, a line in another script and a word too long to break; read well, half, not at all."""
    rows = render_pages(folder / "read", count=2, seed=5, kind="sheets")
    written = (*(row["text"] for row in rows), "wide" * 60)
    images = (*(str(folder / "read" / row["image_path"]) for row in rows), "gone.png")
    half = (rows[0]["text"], rows[1]["text"].replace("а", "a")[:-4] + "\u202e<b>", "wade" * 60)
    return make_evaluation(base=("", "the the the", ""), adapter=half, written=written, images=images)


@pytest.fixture(scope="session")
def windows(chromium: Any) -> Callable[..., Any]:
    """A window of the browser for each kind of reader, opened once: pages share nothing but its size and its settings."""

    @functools.cache
    def open_(width: int, height: int, scheme: str, javascript: bool) -> Any:
        return chromium.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            java_script_enabled=javascript,
            reduced_motion="reduce",
        )

    return open_


@pytest.fixture(scope="session")
def still(windows: Callable[..., Any], pages: dict[str, Path]) -> Callable[[str], Opened]:
    """`still("sick")`: a page on a desk that was opened once, for those who change nothing in it."""

    @functools.cache
    def open_(page: str) -> Opened:
        return Opened(windows(DESKTOP["width"], DESKTOP["height"], "light", True).new_page(), pages[page].as_uri())

    return open_


@pytest.fixture
def open_page(windows: Callable[..., Any], pages: dict[str, Path], tmp_path: Path) -> Iterator[Callable[..., Opened]]:
    """`open_page("sick", viewport=PHONE, scheme="dark", javascript=False)`; a text with `<` is a page of its own."""
    opened = []

    def open_(
        page: str, *, viewport: dict[str, int] = DESKTOP, scheme: str = "light", javascript: bool = True
    ) -> Opened:
        path = pages.get(page)
        if path is None:
            path = tmp_path / "page.html"
            path.write_text(page, encoding="utf-8")
        window = windows(viewport["width"], viewport["height"], scheme, javascript)
        opened.append(Opened(window.new_page(), path.as_uri()))
        return opened[-1]

    yield open_
    for page in opened:
        page.page.close()
