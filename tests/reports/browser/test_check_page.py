"""What only the page of a check does, seen in a browser."""

from __future__ import annotations

from tests.support.browser import PHONE


def test_a_fix_is_copied_as_it_stands(open_page):
    opened = open_page("sick")
    opened.evaluate(
        """() => { window.copied = []; Object.defineProperty(navigator, 'clipboard',
             {value: {writeText: async (text) => { window.copied.push(text); }}}); }"""
    )
    button = opened.page.locator("button[data-copies]").first
    button.click()
    opened.page.wait_for_function("window.copied.length === 1")
    target = button.get_attribute("data-copies")
    assert opened.evaluate("window.copied[0]") == opened.page.locator(f"#{target}").text_content()
    assert button.text_content() == "Copied"


def test_without_a_clipboard_a_fix_is_copied_all_the_same(open_page):
    opened = open_page("sick")
    opened.evaluate(
        """() => { Object.defineProperty(navigator, 'clipboard', {value: undefined});
             document.execCommand = (word) => { window.did = [word, document.activeElement.value]; return true; }; }"""
    )
    button = opened.page.locator("button[data-copies]").first
    button.click()
    opened.page.wait_for_function("window.did")
    word, text = opened.evaluate("window.did")
    assert word == "copy"
    assert text == opened.page.locator(f"#{button.get_attribute('data-copies')}").text_content()


def test_a_link_to_an_explanation_unfolds_it(open_page):
    opened = open_page("sick")
    link = opened.page.locator("article.finding a[href^='#explain-']").first
    fold = opened.page.locator(f"details{link.get_attribute('href')}")
    assert fold.get_attribute("open") is None
    link.click()
    fold.locator(".prose").wait_for(state="visible")
    assert "Why it matters" in fold.text_content()


def test_a_search_that_finds_a_contract_unfolds_the_list_it_stands_in(open_page):
    opened = open_page("healthy")
    assert opened.count("#contracts tr[data-item]") == 0
    opened.page.locator("[data-facet=text]").fill("LBL001")
    assert opened.count("#contracts tr[data-item]") == 1
    assert "LBL001" in opened.page.locator("#contracts tr[data-item] >> visible=true").text_content()


def test_what_is_folded_is_printed_without_any_script(open_page):
    opened = open_page("sick", javascript=False)
    opened.page.emulate_media(media="print")
    folds = opened.page.locator("details")
    assert folds.count() > 3
    for number in range(folds.count()):
        inside = folds.nth(number).locator("> :not(summary)").first
        assert inside.bounding_box()["height"] > 0, folds.nth(number).text_content()[:60]


def test_every_picture_on_the_page_can_be_decoded(open_page):
    opened = open_page("sick")
    broken = opened.evaluate(
        "[...document.images].filter((image) => !(image.complete && image.naturalWidth)).map((image) => image.alt)"
    )
    assert opened.count("figure.picture img") > 0
    assert broken == []


def test_on_a_phone_every_token_can_be_read_without_scrolling_sideways(open_page):
    opened = open_page("sick", viewport=PHONE)
    opened.unfold()
    wide = opened.evaluate(
        "[...document.querySelectorAll('.spelled .scroll')].filter((box) => box.scrollWidth > box.clientWidth + 1).length"
    )
    assert opened.count(".spelled .chips") > 0
    assert wide == 0
