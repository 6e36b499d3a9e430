"""A model that answers most rows with one text is said to do so: its error rate does not show it."""

from __future__ import annotations

import datetime

import pytest

from preflight_ocr.harness.commands.trained.evaluate import Evaluation, ReadRow
from preflight_ocr.harness.training.scores import score_row, summarise
from preflight_ocr.reports.evaluation import page, terminal

WRITTEN = ("table", "stone", "anna", "river", "house", "paper")


def evaluate(*, base, adapter) -> Evaluation:
    """The evaluation of six rows that the sides read so."""
    sides = {"base": base, "adapter": adapter}
    scores = {
        side: [score_row(true, text) for true, text in zip(WRITTEN, read, strict=True)] for side, read in sides.items()
    }
    rows = tuple(
        ReadRow(
            number=number, image=None, source="", true=true, ended={"base": "end", "adapter": "end"},
            read={side: read[number] for side, read in sides.items()},
            scores={side: scores[side][number] for side in sides},
        )
        for number, true in enumerate(WRITTEN)
    )  # fmt: skip
    return Evaluation(
        config="c.yaml", base_model="model", adapter="adapter", split="test", data="pages",
        created=datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC), normalise=(), max_new_tokens=64,
        sides={side: summarise(scores[side]) for side in sides}, difference=None, groups=(),
        confusions={"base": (), "adapter": ()}, rows=rows, failed={}, versions={},
    )  # fmt: skip


def test_one_text_for_most_rows_is_said_on_the_terminal_and_on_the_page():
    found = evaluate(base=("",) * 6, adapter=("table",) * 5 + ("paper",))
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
    assert list(terminal.tell_constants(evaluate(base=WRITTEN, adapter=adapter))) == []
