from __future__ import annotations

import re
from html.parser import HTMLParser

import msgspec
import pytest

from preflight_ocr.reports.comparison import compare, render, write

HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(2)>'{{ 7 * 7 }}"
A, B, C = "COL001-broadcast_mask", "LBL002-unmasked_prompt", "CFG003-warmup_beyond_run"


class Page(HTMLParser):
    """Elements, attributes and text; fails where an element is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append(tag)
        self.attributes += [(name, value or "") for name, value in attributes]
        if tag not in ("meta", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture
def found(write_document, write_finding):
    before = write_document(
        {A: "broken", B: "kept", C: "broken"}, write_finding(A), write_finding(C, "MINOR"), torch="1"
    )
    after = write_document({A: "kept", B: "skipped", C: "broken"}, write_finding(C, "MAJOR"), reasons={B: "no card"})
    return compare(before, after, names=("a.json", "b.json"))


def test_the_page_says_what_the_comparison_says(found):
    page = Page(render(found))
    for part in (
        "0 new , 1 fixed, 1 no longer looked at",
        "no card",
        "Worse than before",
        "Before it was MINOR",
        "a.json",
    ):
        assert part in page.text
    assert not {"img", "link", "iframe"} & set(page.elements)
    targets = {value for name, value in page.attributes if name == "id"}
    assert {value[1:] for name, value in page.attributes if name == "href"} <= targets


def test_kept_to_skipped_stands_in_a_card_of_the_colour_of_what_is_broken(found):
    text = render(found)
    assert re.search(r'<article class="card broken"[^>]*data-change="lost"', text)


def test_nothing_changed_is_said(write_document):
    same = write_document({A: "kept"})
    assert "Nothing changed" in Page(render(compare(same, same))).text


def test_hostile_text_stays_text(write_document, write_finding):
    identity = f"COL001-{HOSTILE}"
    fault = msgspec.structs.replace(write_finding(identity, summary=HOSTILE), evidence=(HOSTILE,))
    before = write_document({identity: "kept", HOSTILE: "kept"}, **{HOSTILE: HOSTILE})
    after = write_document({identity: "broken", HOSTILE: "skipped"}, fault, reasons={HOSTILE: HOSTILE})
    page = Page(render(compare(before, after, names=(HOSTILE, HOSTILE))))
    assert page.elements.count("script") == 1
    assert "img" not in page.elements
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert any(HOSTILE in words for words in page.words)


def test_a_page_that_cannot_be_written_leaves_nothing_behind(found, tmp_path):
    (tmp_path / "page.html").mkdir()
    with pytest.raises(OSError):
        write(found, tmp_path / "page.html")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
