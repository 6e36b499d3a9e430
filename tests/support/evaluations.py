"""Evaluations made by hand."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from preflight_ocr.harness.commands.trained.evaluate import Evaluation, Group, ReadRow
from preflight_ocr.harness.training.scores import compare, list_confusions, score_row, summarise

__all__ = ["WRITTEN", "make_evaluation"]

WRITTEN = ("table", "stone", "anna", "river", "house", "paper")


def make_evaluation(
    *, base: Sequence[str], adapter: Sequence[str], written: Sequence[str] = WRITTEN, images: Sequence[str] = ()
) -> Evaluation:
    """The evaluation of rows that the sides read so."""
    sides = {"base": base, "adapter": adapter}
    scores = {
        side: [score_row(true, text) for true, text in zip(written, read, strict=True)] for side, read in sides.items()
    }
    rows = tuple(
        ReadRow(
            number=number, image=images[number] if images else None, source="", true=true,
            ended={"base": "length", "adapter": "end"}, read={side: read[number] for side, read in sides.items()},
            scores={side: scores[side][number] for side in sides},
        )
        for number, true in enumerate(written)
    )  # fmt: skip
    figures = {side: summarise(scores[side]) for side in sides}
    return Evaluation(
        config="c.yaml", base_model="model", adapter="adapter", split="test", data="pages",
        created=datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC), seconds=83.2, normalise=(), max_new_tokens=64,
        sides=figures, difference=compare(scores["base"], scores["adapter"]),
        groups=(Group(by="script", name="LATIN", sides=figures),),
        confusions={side: list_confusions(found) for side, found in scores.items()}, rows=rows,
        failed={6: "the picture is gone"}, versions={},
    )  # fmt: skip
