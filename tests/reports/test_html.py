from __future__ import annotations

import base64
import hashlib
import itertools
import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import msgspec
import pytest

from preflight_ocr.harness.facts import Facts, PixelView, Raised, Site, Unknown
from preflight_ocr.harness.facts.history import Entry
from preflight_ocr.harness.facts.illustrations import Illustrations, Picture, RowIllustration, TokenText
from preflight_ocr.harness.judging.findings import Broken, Crashed, Kept, Severity, Skipped
from preflight_ocr.reports import html
from tests.specimens import HEALTHY, altered
from tests.support.reports import make_history

HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(2)>'{{ 7 * 7 }}"
WORST = HOSTILE + '"onmouseover=alert(3) </style></title></textarea>]]>--><!--\u202egnp.exe\u202c\x00\x1b[2J\u2028`a`'
VOID = {"meta", "input", "img", "br", "hr"}
DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNiAAAABgADNjd8qAAAAABJRU5ErkJggg=="


class Page(HTMLParser):
    """Counts elements and collects attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.held: dict[str, list[str]] = {"script": [], "style": []}
        self.open: list[str] = []
        self.feed(text)
        self.close()

    @property
    def attributes(self) -> list[tuple[str, str]]:
        return [pair for _, given in self.tags for pair in given.items()]

    def find(self, name: str) -> list[dict[str, str]]:
        return [given for tag, given in self.tags if tag == name]

    def handle_starttag(self, tag, attributes):
        self.elements.append(tag)
        self.tags.append((tag, {name: value or "" for name, value in attributes}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append(tag)
        self.tags.append((tag, {name: value or "" for name, value in attributes}))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        inside = self.open[-1] if self.open else ""
        self.held.get(inside, self.words).append(data)

    def say(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture
def full(report):
    """A report with everything that a page can show."""
    picture = Picture(name="images[0][1]", width=256, height=128, png=DOT, is_whole=True, clipped=0.25)
    rows = tuple(
        RowIllustration(
            original=picture,
            views=(picture, msgspec.structs.replace(picture, name="images[0][0][0]", is_whole=False)),
            columns=1,
            left_out=2,
            tokens=tuple(TokenText(text="a", label="b") for _ in row.roles),
            remarks=("seen through a keyhole",),
        )
        for row in HEALTHY.collator.batch.rows
    )
    entries = tuple(
        Entry(step=step, values={"loss": 5.0 / step, "learning_rate": 1e-3, "eval_loss": None}, memory=step << 20)
        for step in (1, 2, 3)
    )
    run = msgspec.structs.replace(make_history(), source="out/logs/history.jsonl", entries=entries)
    finding = msgspec.structs.replace(
        report.findings[0], places=(Site(file="collate.py", line=7, code="mask = 1", kind="", runs=None),)
    )
    return msgspec.structs.replace(
        report,
        findings=(finding, *report.findings[1:]),
        illustrations=Illustrations(rows=rows, colours="in colour"),
        run=run,
    )


def test_every_element_is_closed_and_nothing_is_loaded(full):
    page = Page(html.render(full))
    assert page.open == []
    assert not {"link", "iframe", "object", "base", "form-action"} & set(page.elements)
    assert all(value.startswith("data:image/png;base64,") for name, value in page.attributes if name == "src")
    assert all(
        value.startswith(("#", "./")) for name, value in page.attributes if name in ("href", "xlink:href", "action")
    )
    assert "url(" not in "".join(page.held["style"]).replace('url("data:font/woff;base64,', "")


def test_only_our_own_script_and_style_may_run_and_the_policy_says_so(full):
    page = Page(html.render(full))
    policy = next(tag["content"] for tag in page.find("meta") if tag.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    for element in ("script", "style"):
        assert page.elements.count(element) == 1
        digest = base64.b64encode(hashlib.sha256("".join(page.held[element]).encode()).digest()).decode()
        assert rules[f"{element}-src"] == f"'sha256-{digest}'"
    # A style attribute would be refused by that policy, and an event handler must never be there.
    assert not [name for name, _ in page.attributes if name == "style" or name.startswith("on")]


def test_links_and_labels_point_at_something_on_the_page(full):
    page = Page(html.render(full))
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    links = {value[1:] for name, value in page.attributes if name == "href" and not value.startswith("./")}
    named = {
        word for name, value in page.attributes if name in ("aria-labelledby", "data-copies") for word in value.split()
    }
    assert {"findings", "skipped", "rows", "learning", "adapters", "memory", "explain-col001"} <= links
    assert links | named <= set(ids)


def test_the_page_can_be_heard(full):
    text = html.render(full)
    page = Page(text)
    levels = [int(tag[1]) for tag in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert {"header", "nav", "main", "footer"} <= set(page.elements)
    assert all(image["alt"] for image in page.find("img"))
    assert all(svg.get("aria-hidden") == "true" for svg in page.find("svg"))
    for label in ("Copy the fix of COL001", "Token strip of row 0", "Filter findings and contracts"):
        assert f'aria-label="{label}"' in text


def test_what_takes_a_script_is_hidden_until_it_runs(full):
    page = Page(html.render(full))
    assert all("hidden" in form for form in page.find("form"))
    assert all("hidden" in button for button in page.find("button") if "data-copies" in button)


def test_the_page_says_verdict_findings_and_what_was_not_looked_at(report):
    text = Page(html.render(report)).say()
    for part in (
        "REFUSED: 1 BLOCKER",
        "COL001",
        "Build one entry per token.",
        "no accelerator here",
        "ENV001-missing_kernels",
    ):
        assert part in text
    assert report.facts.digest() in text


def test_a_finding_brings_its_places_and_its_explanation(full):
    text = Page(html.render(full)).say()
    assert "collate.py:7" in text
    assert "a mask of shape" in text  # from the docstring of COL001


def test_pictures_tokens_curves_census_and_memory_are_on_the_page(full):
    text = Page(html.render(full)).say()
    for part in (
        "in colour",
        "seen through a keyhole",
        "25 % of its values lie outside 0..255",
        "2 more views are not drawn",
    ):
        assert part in text
    for part in ("Loss of the run: 5 at first, 1.667 at last", "Learning rate", "3 logged values were not finite"):
        assert part in text
    for part in ("at most 3 MiB", "Language: attention", "4 of 4" if len(HEALTHY.adapter.carriers) == 4 else "of 2"):
        assert part in text
    assert "no step was rehearsed" in text


def test_a_page_without_run_or_pictures_says_so(report):
    text = Page(html.render(report)).say()
    assert "no pictures were made" in text
    assert "No training run has been recorded" in text


def test_a_picture_says_what_the_comparison_found(full):
    view = PixelView(row=0, path="images[0][1]", geometry="squashed", source_row=1, mean=None, std=None, detail="")
    facts = altered(HEALTHY, {"collator.views": (view,)})
    text = Page(html.render(msgspec.structs.replace(full, facts=facts))).say()
    assert "the page is squashed" in text
    assert "this is the page of row 1" in text


def _spoil(value: Any, text: Callable[[], str]) -> Any:
    """The same with every text in it replaced, in keys of dictionaries too."""
    if isinstance(value, str):
        return text()
    if isinstance(value, msgspec.Struct):
        fields = {name: _spoil(getattr(value, name), text) for name in value.__struct_fields__}
        return type(value)(**fields)
    if isinstance(value, tuple):
        return tuple(_spoil(item, text) for item in value)
    if isinstance(value, dict):
        return {_spoil(key, text): _spoil(item, text) for key, item in value.items()}
    return value


def _make_texts(hostile: str) -> Callable[[], str]:
    count = iter(range(10**6))
    return lambda: f"{next(count)}{hostile}"


@pytest.fixture
def spoilt(full, make_report, judge, find_fault):
    """Every text of the facts, the illustrations, the run, the findings and the outcomes is hostile."""
    text = _make_texts(WORST)
    facts: Facts = _spoil(HEALTHY, text)
    fault = find_fault("COL001", WORST, Severity.MAJOR, summary=text(), evidence=(text(),), fix=text(), snippet=text())
    fault = msgspec.structs.replace(fault, places=(Site(file=text(), line=1, code=text(), kind="", runs=None),))
    judgements = (
        judge("COL001", "hostile", Broken((fault,))),
        judge("COL002", "b", Skipped(text())),
        judge("COL003", "c", Crashed(text())),
    )
    made = make_report(judgements, facts=facts)
    illustrations = _spoil(full.illustrations, text)
    # base64 is made here and by nobody else.
    rows = tuple(
        msgspec.structs.replace(
            row, original=msgspec.structs.replace(row.original, png=DOT),
            views=tuple(msgspec.structs.replace(view, png=DOT) for view in row.views),
        )
        for row in illustrations.rows
    )  # fmt: skip
    return msgspec.structs.replace(
        made,
        config=text(),
        verdict="blind",
        reason_why=text(),
        environment={text(): text()},
        timings={text(): 1.0},
        waiver_problems=(text(),),
        illustrations=msgspec.structs.replace(illustrations, rows=rows),
        run=msgspec.structs.replace(_spoil(full.run, text), entries=full.run.entries),
    )


def test_hostile_text_in_every_place_stays_text(spoilt, full):
    text = html.render(spoilt)
    page, tame = Page(text), Page(html.render(full))
    assert set(page.elements) <= set(tame.elements)
    assert page.held == tame.held
    assert not [name for name, _ in page.attributes if name.startswith("on") or name == "style"]
    assert all(value.startswith(("#", "./")) for name, value in page.attributes if name in ("href", "xlink:href"))
    assert all(value.startswith("data:image/png;base64,") for name, value in page.attributes if name == "src")
    assert text.count("alert(1)") > 100  # it is there, as text
    assert "&#39;49" not in text  # no text is a template


def test_control_characters_are_shown_and_never_sent(spoilt):
    text = html.render(spoilt)
    text.encode("utf-8")  # half a surrogate pair would raise
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]", text)
    assert "\u2400" in text
    assert "\u27e8U+202E\u27e9" in text


def test_hostile_text_in_an_unknown_stays_text(make_report, judge):
    sections = dict.fromkeys(("collator", "forward", "adapter", "learning", "memory"), Unknown(reason=WORST))
    judgements = (judge("COL002", "b", Skipped(WORST)),)
    report = make_report(judgements, facts=altered(HEALTHY, sections))
    page = Page(
        html.render(msgspec.structs.replace(report, illustrations=Unknown(reason=WORST), run=Unknown(reason=WORST)))
    )
    assert "img" not in page.elements
    assert page.elements.count("script") == 1


@pytest.mark.parametrize(
    "section", ["collator", "forward", "configuration", "environment", "adapter", "learning", "memory", "repository"]
)
def test_a_page_is_made_whatever_is_unknown(make_report, judge, section):
    facts = altered(HEALTHY, {section: Unknown(reason=f"no {section} today")})
    text = html.render(make_report((judge("CFG001", "unknown_key", Kept()),), facts=facts))
    assert "</html>" in text
    if section in ("collator", "adapter", "learning", "memory"):
        assert f"no {section} today" in Page(text).say()


def test_a_page_is_made_of_a_batch_that_was_never_collated(make_report, judge):
    facts = altered(HEALTHY, {"collator.batch": Raised(type="ValueError", message="no image today", site=None)})
    text = Page(html.render(make_report((judge("CFG001", "unknown_key", Kept()),), facts=facts))).say()
    assert "no image today" in text


def test_without_findings_the_summary_comes_first_and_with_them_the_findings_do(full):
    def list_sections(report):
        return re.findall(r'<section id="(\w+)"', html.render(report))

    assert list_sections(full)[0] == "findings"
    assert "summary" in list_sections(full)
    assert list_sections(msgspec.structs.replace(full, findings=()))[0] == "summary"


def test_the_page_says_when_the_check_began_and_how_long_it_took(full):
    page = html.render(full.time(75))
    assert " UTC in 1 min 15 s, by Preflight " in page
    assert "Checked on" not in html.render(full)


def test_a_strip_says_that_it_is_not_to_scale(full):
    assert "The strips are not to scale" in html.render(full)
