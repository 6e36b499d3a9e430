"""The checks of every page, shown to find what they are for."""

from __future__ import annotations

import pytest

from tests.support.browser import CONTRAST, FOCUS

SHELL = "<!doctype html><html lang='en'><title>x</title><body style='background: #fff'>{}</body></html>"


def test_a_page_that_is_too_wide_is_seen(open_page):
    assert open_page(SHELL.format("<div style='width: 3000px'>wide</div>")).spill() > 1000


def test_a_request_and_an_error_are_seen(open_page):
    opened = open_page(SHELL.format("<img src='missing.png'><script>throw new Error('broken')</script>"))
    opened.page.wait_for_timeout(50)
    assert [url.rpartition("/")[2] for url in opened.requests] == ["missing.png"]
    assert any("broken" in error for error in opened.errors)


@pytest.mark.parametrize(
    ("style", "faint"),
    [("color: #888", True), ("color: #666", False), ("color: #888; font-size: 30px", False), ("color: #fff8", True)],
)
def test_a_faint_text_is_seen(open_page, style, faint):
    found = open_page(SHELL.format(f"<p style='{style}'>faint</p>")).evaluate(CONTRAST)
    assert (found[0][0] < 1) is faint


def test_a_control_without_a_visible_focus_is_seen(open_page):
    opened = open_page(SHELL.format("<button style='outline: none'>a</button><button>b</button>"))
    seen = []
    for _ in range(2):
        opened.page.keyboard.press("Tab")
        seen.append(opened.evaluate(FOCUS)[1])
    assert seen == [False, True]
