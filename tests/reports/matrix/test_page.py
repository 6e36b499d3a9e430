from __future__ import annotations

from html.parser import HTMLParser

import pytest

from preflight_ocr.harness.commands.matrix.records import Matrix
from preflight_ocr.reports import matrix
from tests.support.matrices import make_matrix


class Page(HTMLParser):
    """Elements with their attributes, and what was left open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, {name: value or "" for name, value in attributes}))
        if tag not in ("meta", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def find(self, tag, **wanted):
        return [a for t, a in self.elements if t == tag and all(a.get(k) == v for k, v in wanted.items())]


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(matrix.render(make_matrix()))


def test_every_element_is_closed_and_nothing_is_loaded(page):
    assert page.open == []
    assert not {"link", "img", "iframe", "object"} & {tag for tag, _ in page.elements}
    assert not [a for _, a in page.elements if "src" in a or "style" in a]
    assert all(a["href"].startswith("#") for a in page.find("a"))


def test_it_is_a_real_table_with_headers_for_rows_columns_and_releases(page):
    assert len(page.find("th", scope="colgroup")) == 6
    assert len([a for a in page.find("th", scope="col") if "data-column" in a]) == 24
    squares = [a for a in page.find("td") if "data-model" in a]
    assert len(squares) == 15 * 24


def test_every_link_has_its_target(page):
    targets = {a["id"] for _, a in page.elements if "id" in a}
    assert {a["href"][1:] for a in page.find("a")} <= targets


def test_every_square_says_in_words_what_it_shows(page):
    squares = [a for tag, a in page.elements if tag in ("a", "span") and a.get("class") == "square"]
    assert len(squares) == 15 * 24
    assert all(a["title"] for a in squares)


def test_counts_reasons_and_explanations_are_on_the_page(page):
    text = " ".join(" ".join(page.words).split())
    for part in (
        "218 of 314 checks are clear",
        "256/276 as predicted",
        "peft 0.13.2 imports HybridCache",
        "FWD015 uninitialised_buffer is behaviour",
        "Clear wherever they were tried: Qwen2-VL, Idefics3",
    ):
        assert part in text


def test_hostile_names_stay_text():
    hostile = "\"><script>alert(1)</script><img src=x onerror=alert(2)>'{{ 7 * 7 }}"
    text = matrix.render(make_matrix((hostile,), config=hostile, releases=(hostile, "5.0.0"), peft=(hostile, "0.13.2")))
    page = Page(text)
    assert len(page.find("script")) == 1
    assert not [a for _, a in page.elements for name in a if name.startswith("on")]
    assert any(hostile in words for words in page.words)


@pytest.mark.parametrize(
    "cells", [(), make_matrix().cells[:1], make_matrix(()).cells[:2]], ids=["none", "one", "no model"]
)
def test_a_page_is_made_however_little_there_is(cells):
    assert Page(matrix.render(Matrix(config="run.yaml", cells=cells))).open == []


def test_a_page_that_cannot_be_written_leaves_nothing_behind(tmp_path):
    (tmp_path / "matrix.html").mkdir()
    with pytest.raises(OSError):
        matrix.write(make_matrix(), tmp_path / "matrix.html")
    assert [p.name for p in tmp_path.iterdir()] == ["matrix.html"]
