"""What an evaluation says on the terminal and on its page, where figures alone do not say it."""

from __future__ import annotations

import pytest

from preflight_ocr.harness.training.scores import Confusion
from preflight_ocr.reports.evaluation import page, terminal
from tests.support.evaluations import WRITTEN, make_evaluation


def test_one_text_for_most_rows_is_said_on_the_terminal_and_on_the_page():
    found = make_evaluation(base=("",) * 6, adapter=("table",) * 5 + ("paper",))
    said = list(terminal.tell_constants(found))
    assert said == [
        "The base model gave 6 of 6 pages no text: what is on them changes nothing.",
        "The adapter gave 4 of 6 pages the same wrong text, 'table': what is on them changes nothing.",
    ]
    assert all(sentence in terminal.render(found) for sentence in said)
    shown = page.render(found)
    assert "gave 6 of 6 pages no text" in shown and '<span class="dim">no text</span>' in shown


@pytest.mark.parametrize(
    "adapter",
    [WRITTEN, ("table",) * 3 + WRITTEN[3:], ("tables", "stones", "annas", "rivers", "houses", "papers")],
    ids=["read well", "one text for two rows that are not its own", "each read in its own wrong way"],
)
def test_a_model_that_tells_pages_apart_is_not_said_to_ignore_them(adapter):
    assert list(terminal.tell_constants(make_evaluation(base=WRITTEN, adapter=adapter))) == []


def test_the_page_says_when_and_how_long_the_rows_were_read():
    shown = page.render(make_evaluation(base=WRITTEN, adapter=WRITTEN))
    assert "2026-01-02 00:00 UTC, read in 1 min 23 s." in " ".join(shown.split())


@pytest.mark.parametrize(
    ("true", "read", "said"),
    [
        ("а", "a", "'а' (Cyrillic) read as 'a' (Latin)"),
        ("o", "a", "'o' read as 'a'"),
        ("l", "1", "'l' read as '1'"),
        ("а", "", "'а' left out"),
        ("", "a", "'a' put in"),
    ],
)
def test_letters_that_look_alike_are_told_apart_by_their_script(true, read, said):
    assert terminal.name(Confusion(true=true, read=read, times=1)) == said
