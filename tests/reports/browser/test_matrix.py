"""The matrix' own filters: the grid stays, columns and rows without a square go, the window's frame is closed again."""

from __future__ import annotations

import pytest

from tests.support.browser import PHONE

SQUARES = "table.matrix td[data-item]"


@pytest.fixture
def opened(open_page):
    return open_page("matrix")


def _columns(opened) -> int:
    return opened.count("table.matrix thead th[data-column]")


def test_a_release_leaves_its_columns_under_one_heading(opened):
    opened.page.select_option("[data-facet=transformers]", "4.57.6")
    assert _columns(opened) == 4
    assert opened.count(SQUARES) == 15 * 4
    assert opened.page.locator("table.matrix th.release >> visible=true").all_text_contents() == ["4.57.6"]


def test_a_release_of_peft_leaves_one_column_of_each_release(opened):
    opened.page.select_option("[data-facet=peft]", "0.21.2")
    assert _columns(opened) == 6
    spans = opened.evaluate("[...document.querySelectorAll('th.release')].map((th) => th.colSpan)")
    assert spans == [1] * 6


def test_a_model_leaves_its_row(opened):
    opened.page.select_option("[data-facet=model]", label="dots.ocr")
    assert opened.page.locator("table.matrix tbody th >> visible=true").all_text_contents() == ["dots.ocr"]
    assert opened.count(SQUARES) == 24
    assert opened.page.locator("article.model h3 >> visible=true").count() == 1


def test_a_code_leaves_its_squares_and_what_is_said_of_it(opened):
    opened.page.select_option("[data-facet=code]", "FWD015")
    texts = opened.page.locator(f"{SQUARES} >> visible=true").all_text_contents()
    assert len(texts) == 12 and all("FWD015" in text for text in texts)
    assert opened.page.locator("article.model h3 >> visible=true").count() == 2


def test_a_severity_and_a_release_together_leave_what_fits_both(opened):
    opened.page.locator("[data-facet=severity][value=major]").check()
    opened.page.select_option("[data-facet=transformers]", "4.51.3")
    assert opened.count(SQUARES) == 8
    opened.page.select_option("[data-facet=transformers]", "5.0.0")
    assert opened.count(SQUARES) == 0


def test_reset_brings_everything_back(opened):
    before = opened.count(SQUARES)
    opened.page.select_option("[data-facet=peft]", "0.21.2")
    opened.page.select_option("[data-facet=code]", "SAV001")
    assert opened.count(SQUARES) < before
    opened.page.locator("button[type=reset]").click()
    opened.page.wait_for_timeout(20)
    assert opened.count(SQUARES) == before == 15 * 24
    assert _columns(opened) == 24


def test_squares_stay_below_their_column_when_others_are_filtered_away(opened):
    opened.page.select_option("[data-facet=code]", "SAV001")
    places = opened.evaluate(
        """() => [...document.querySelectorAll('table.matrix td[data-item]:not([hidden])')].map((square) => {
          const head = document.querySelector(`thead [data-column="${square.dataset.column}"]`);
          return Math.abs(head.getBoundingClientRect().left - square.getBoundingClientRect().left); })"""
    )
    assert places and max(places) < 1


def test_the_frame_of_the_window_is_closed_at_both_ends_whatever_is_left(opened):
    for peft in ("0.15.2", ""):
        opened.page.select_option("[data-facet=peft]", peft)
        open_ends = opened.evaluate(
            """() => [...document.querySelectorAll('table.matrix tbody tr')].filter((row) => {
              const shown = [...row.querySelectorAll('td')].filter((td) => !td.hidden && td.checkVisibility());
              return shown.some((td, at) => td.classList.contains('fits') &&
                (td.classList.contains('first') === !!shown[at - 1]?.classList.contains('fits') ||
                 td.classList.contains('last') === !!shown[at + 1]?.classList.contains('fits'))); }).length"""
        )
        assert open_ends == 0


def test_on_a_phone_the_table_scrolls_under_a_first_column_that_stays(open_page):
    opened = open_page("matrix", viewport=PHONE)
    frame = opened.page.locator(".matrix-frame")
    head = opened.page.locator("table.matrix tbody th").first
    before = head.bounding_box()
    frame.evaluate("(element) => { element.scrollLeft = 400; }")
    assert frame.evaluate("(element) => element.scrollLeft") == 400
    assert head.bounding_box()["x"] == before["x"]
    assert before["width"] < 130
    assert opened.spill() <= 0


def test_a_square_leads_to_what_was_seen_in_it(opened):
    opened.page.locator("a.square", has_text="FWD015").first.click()
    target = opened.page.locator(".outcome:target")
    assert "uninitialised_buffer" in target.inner_text()
    assert "5.0.0 to 5.23.0" in target.inner_text()
