from __future__ import annotations

from html.parser import HTMLParser

import pytest

from fixtures.specimens import HEALTHY, altered, write_row
from harness.facts import Landing, Raised, Repair, Unknown
from harness.findings import Broken, Crashed, Kept, Severity, Skipped
from reports import html

HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(2)>'{{ 7 * 7 }}"


class Page(HTMLParser):
    """Counts elements and collects attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append(tag)
        self.attributes += [(name, value or "") for name, value in attributes]
        if tag not in ("meta",):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_every_element_is_closed_and_nothing_is_loaded(report):
    page = Page(html.render(report))
    assert page.open == []
    assert not {"script", "link", "img", "iframe"} & set(page.elements)
    assert not [name for name, _ in page.attributes if name in ("src", "href")]


def test_the_page_says_verdict_findings_and_what_was_not_looked_at(report):
    text = " ".join(" ".join(Page(html.render(report)).words).split())
    for part in ("Refused", "COL001", "Build one entry per token.", "no accelerator here", "ENV001-missing_kernels"):
        assert part in text
    assert report.facts.digest() in text


def test_hostile_text_stays_text(make_report, judge, find_fault):
    row = write_row("biiipppttte", target=HOSTILE)
    facts = altered(
        HEALTHY,
        {
            "configuration.base_model": HOSTILE,
            "environment.platform": HOSTILE,
            "environment.packages.torch": HOSTILE,
            "collator.batch.rows": (row,),
            "subject.parts": {HOSTILE: HOSTILE},
        },
    )
    fault = find_fault(
        "COL001", HOSTILE, Severity.MAJOR, summary=HOSTILE, evidence=(HOSTILE,), fix=HOSTILE, snippet=HOSTILE
    )
    judgements = (
        judge("COL001", HOSTILE, Broken((fault,))),
        judge("COL002", "b", Skipped(HOSTILE)),
        judge("COL003", "c", Crashed(HOSTILE)),
    )
    text = html.render(make_report(judgements, facts=facts))
    page = Page(text)
    assert "<script" not in text
    assert "img" not in page.elements
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert any(HOSTILE in words for words in page.words)
    assert "49" not in [words.strip() for words in page.words]


def test_a_healthy_row_is_five_runs_with_features_in_the_image():
    row = write_row("b" + "i" * 273 + "pp" + "ttt" + "e", target="abc")
    landing = Landing(row=0, placeholders=273, features=273, landed="0" + "1" * 273 + "0" * 6)
    facts = altered(HEALTHY, {"collator.batch.rows": (row,), "forward.landing": (landing,)})
    (strip,) = html.draw_strips(facts)
    assert [run.short for run in strip.runs] == ["BOS", "image 273", "prompt 2", "target 3", "EOS"]
    assert [run.landed for run in strip.runs] == [False, True, False, False, False]
    assert not any(run.wrong for run in strip.runs)
    assert strip.notes == ()


def test_features_that_land_elsewhere_are_marked_wrong():
    row = write_row("biippte", target="a")
    landing = Landing(row=0, placeholders=2, features=2, landed="0011000")
    facts = altered(HEALTHY, {"collator.batch.rows": (row,), "forward.landing": (landing,)})
    (strip,) = html.draw_strips(facts)
    assert [(run.short, run.landed) for run in strip.runs if run.wrong] == [("image", False), ("prompt", True)]


def test_a_row_whose_landing_nobody_saw_says_so():
    facts = altered(HEALTHY, {"forward.landing": Unknown(reason="no scatter was seen")})
    assert all("not seen" in strip.notes[0] for strip in html.draw_strips(facts))
    assert not any(run.wrong for strip in html.draw_strips(facts) for run in strip.runs)


def test_a_landing_that_was_seen_on_a_repaired_batch_says_so():
    repair = Repair(argument="images_seq_mask", raised=Raised(type="RuntimeError", message="x"))
    facts = altered(HEALTHY, {"forward.repairs": (repair,), "collator.batch.rows.0.marked": "1"})
    strip = next(html.draw_strips(facts))
    assert "after images_seq_mask had been replaced" in strip.notes[0]
    assert strip.notes[1] == "The placement mask has length 1, the row 20."


@pytest.mark.parametrize("section", ["collator", "forward", "configuration", "environment"])
def test_a_page_is_made_whatever_is_unknown(make_report, judge, section):
    facts = altered(HEALTHY, {section: Unknown(reason="not run")})
    assert "</html>" in html.render(make_report((judge("CFG001", "unknown_key", Kept()),), facts=facts))
