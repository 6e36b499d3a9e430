"""What holds for every kind of page, seen in a browser."""

from __future__ import annotations

import itertools

import pytest

from tests.support.browser import CONTRAST, DESKTOP, FOCUS, PHONE

FILTERED = ("healthy", "sick", "run", "compare", "matrix")
KINDS = (*FILTERED, "evaluation")
QUICK = ("healthy", "sick")


def _each(kinds: tuple[str, ...]) -> pytest.MarkDecorator:
    slow = pytest.mark.slow
    return pytest.mark.parametrize("kind", [pytest.param(k, marks=() if k in QUICK else slow) for k in kinds])


every_page = _each(KINDS)
every_page_with_filters = _each(FILTERED)


@every_page
def test_it_opens_without_a_word_on_the_console_and_asks_the_network_for_nothing(kind, still):
    opened = still(kind)
    assert opened.errors == []
    assert opened.requests == []
    assert opened.page.title()


@every_page
@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_nothing_is_wider_than_the_window(kind, open_page, viewport):
    opened = open_page(kind, viewport=viewport)
    assert opened.spill() <= 0
    opened.unfold()
    assert opened.spill() <= 0


@every_page
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_what_is_behind_it(kind, open_page, scheme):
    opened = open_page(kind, scheme=scheme)
    opened.unfold()
    faint = [entry for entry in opened.evaluate(CONTRAST) if entry[0] < 1]
    assert faint == []


@every_page
def test_dark_is_really_dark(kind, open_page, still):
    grounds = [
        opened.evaluate("getComputedStyle(document.body).backgroundColor")
        for opened in (still(kind), open_page(kind, scheme="dark"))
    ]
    brightness = [sum(int(part) for part in ground.strip("rgba()").split(",")[:3]) for ground in grounds]
    assert brightness[0] > 600 and brightness[1] < 150


@every_page
def test_without_scripts_everything_is_there_and_no_control_is_left_that_does_nothing(kind, open_page, still):
    plain, lively = open_page(kind, javascript=False), still(kind)
    assert plain.count("form[data-filters]") == 0
    assert lively.count("form[data-filters]") == (kind in FILTERED)
    assert plain.count("main > section") == lively.count("main > section") > 0
    assert plain.count("[data-item]") == lively.count("[data-item]") > 0
    assert plain.count("button") == 0


@every_page
def test_the_keyboard_reaches_the_content_and_every_control_shows_its_focus(kind, open_page):
    opened = open_page(kind)
    opened.page.keyboard.press("Tab")
    assert opened.evaluate("document.activeElement.textContent") == "Skip to the content"
    assert opened.page.locator(".skip").first.bounding_box()["x"] >= 0
    seen = set()
    for _ in range(120):
        opened.page.keyboard.press("Tab")
        tag, shown = opened.evaluate(FOCUS)
        if tag == "BODY":  # once around
            break
        assert shown, tag
        seen.add(tag)
    assert ({"A", "INPUT", "SELECT"} if kind in FILTERED else {"A"}) <= seen


@every_page_with_filters
def test_words_typed_into_the_search_leave_only_what_holds_them(kind, open_page):
    opened = open_page(kind)
    everything = opened.count("[data-item]")
    opened.unfold()
    box = opened.page.locator("[data-facet=text]")
    box.fill("no such words anywhere")
    assert opened.count("[data-item]") == 0
    box.fill("CFG003")
    shown = opened.page.locator("[data-item] >> visible=true").all_text_contents()
    assert shown and all("cfg003" in text.lower() for text in shown)
    opened.page.locator("button[type=reset]").click()
    opened.page.wait_for_timeout(20)
    assert opened.count("[data-item]") >= everything


@every_page_with_filters
def test_each_severity_that_can_be_ticked_leaves_only_its_own(kind, open_page):
    opened = open_page(kind)
    opened.unfold()
    boxes = opened.page.locator("[data-facet=severity]")
    assert boxes.count() >= 2
    counts = []
    for number in range(boxes.count()):
        box = boxes.nth(number)
        box.check()
        wrong, shown = opened.evaluate(
            """(value) => { const items = [...document.querySelectorAll('[data-item]')];
              const fits = (item) => (item.dataset.severity ?? value).split(/\\s+/).includes(value);
              return [items.filter((item) => item.hidden === fits(item)).length,
                      items.filter((item) => item.dataset.severity && !item.hidden).length]; }""",
            box.get_attribute("value"),
        )
        assert wrong == 0
        counts.append(shown)
        box.uncheck()
    assert max(counts) > 0
    assert len(set(counts)) > 1 or len(counts) == 1


@every_page
def test_print_unfolds_everything_and_leaves_the_controls_out(kind, open_page):
    opened = open_page(kind)
    opened.page.emulate_media(media="print")
    opened.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert opened.count("form[data-filters]") == 0
    assert opened.evaluate("document.querySelectorAll('details:not([open])').length") == 0
    assert opened.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    opened.evaluate("window.dispatchEvent(new Event('afterprint'))")
    pdf = opened.page.pdf(prefer_css_page_size=True)
    assert pdf.startswith(b"%PDF")


@every_page
def test_every_link_within_the_page_leads_somewhere(kind, still):
    opened = still(kind)
    dead = opened.evaluate(
        """() => [...document.querySelectorAll('a[href]')].map((link) => link.getAttribute('href'))
          .filter((href) => !href.startsWith('#') || !document.getElementById(decodeURIComponent(href.slice(1))))"""
    )
    # The page that `preflight evaluate` writes beside this one, as the command next to the link says.
    assert [href for href in dead if href != "./report-evaluation.html"] == []


@every_page
def test_a_reader_that_cannot_see_finds_headings_landmarks_and_named_controls(kind, still):
    opened = still(kind)
    assert opened.evaluate("document.documentElement.lang") == "en"
    assert opened.count("h1") == 1
    assert opened.count("main") == 1
    unnamed = opened.evaluate(
        """() => [...document.querySelectorAll('input, select, button')].filter((control) =>
          !(control.labels?.length || control.textContent.trim() || control.getAttribute('aria-label'))).length"""
    )
    assert unnamed == 0
    levels = opened.evaluate("[...document.querySelectorAll('h1, h2, h3, h4')].map((h) => +h.tagName[1])")
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    tables = opened.evaluate(
        "[...document.querySelectorAll('table')].filter((t) => !t.querySelector('th[scope]')).length"
    )
    assert tables == 0
