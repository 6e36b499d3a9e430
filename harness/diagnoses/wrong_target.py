"""What is trained on is not the row's text.

## What it does
Decodes the labels of each row and looks for the row's own text in them, case and white space aside. A text that the
collator writes anew (as JSON, with other line breaks) is not found among the tokens at all, and is left out. Labels that the
collator shifted although the model shifts them again are found by their place.

## Why it matters
The loss falls as usual; what is learned is a part of the text, another row's text, or the text one token late.

## Example
`labels[:, :-1] = input_ids[:, 1:]` for a model that shifts by itself.

## Use instead
Labels at the same places as `input_ids`; the model shifts them. Count the prompt's tokens with the tokenizer that
is used.

## References
- transformers documentation, causal language models: labels are shifted inside the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from preflight_ocr.harness.facts import Facts, Row
from preflight_ocr.harness.foreign.text import squeeze
from preflight_ocr.harness.judging.deltas import list_moved_rows
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.rows import count_trained, excuse_unfound_target, get_rows, is_ahead
from preflight_ocr.harness.judging.wording import count_part, known, show_some

LEAST_TOLD = 8  # letters by which one row's text is told from another's

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="LBL007",
    severity=Severity.MAJOR,
    basis=Basis.RAN,
    contract="what is trained on is the row's text",
    needs=("collator.batch.rows",),
    explains=("worse_than_guessing",),
    keys=("subject.collator",),
    entries=("labels",),
)


def excuse(facts: Facts) -> str:
    collator = known(facts.collator)
    rows = get_rows(collator.batch)
    if any("1" in row.trained and _names_other(row, _list_texts(rows)) for row in rows):
        return ""
    return excuse_unfound_target(rows)


def examine(facts: Facts) -> Iterator[Finding]:
    collator = known(facts.collator)
    batch, rows = known(collator.batch), get_rows(collator.batch)
    moved = list_moved_rows(collator)
    wrong = []
    for number, row in enumerate(rows):
        # Rows that were lost or sorted carry another row's text by right; whether the page came along is COL013's matter.
        texts = {row.target_text}
        if batch.rows_in != batch.rows_out or number in moved:
            texts |= {other.target_text for other in (*rows, *get_rows(collator.reference))}
        if said := _compare(row, texts, _list_texts(rows)):
            wrong.append(f"row {number}: {said}")
    if wrong:
        yield DIAGNOSIS.finding(
            f"{count_part(len(wrong), len(rows), 'is', 'are')} not trained on "
            f"{'its' if len(wrong) == 1 else 'their'} own text.",
            fix="Put labels where input_ids has the target, without shifting, and mask by the number of prompt tokens.",
            snippet="labels = [-100] * len(prompt_ids) + target_ids + [eos_id]",
            evidence=show_some(wrong),
        )


def _list_texts(rows: Sequence[Row]) -> frozenset[str]:
    return frozenset(squeeze(row.target_text) for row in rows)


def _names_other(row: Row, texts: frozenset[str]) -> bool:
    """Whether it is trained on a text that is another row's and not its own."""
    trained, own = squeeze(row.supervised_text), squeeze(row.target_text)
    found = any(len(text) >= LEAST_TOLD and text not in own and text in trained for text in texts)
    return found and own not in trained


def _compare(row: Row, texts: set[str], everybody: frozenset[str]) -> str:
    if is_ahead(row):
        return "the labels lie one token early; the model shifts them again"
    trained = squeeze(row.supervised_text)
    if not trained or not count_trained(row, "pt") or row.truncated:
        return ""
    wanted = {squeeze(text) for text in texts} - {""}
    if not wanted or any(text in trained for text in wanted):
        return ""
    if (
        "e" not in row.roles
        and row.trained.endswith("1" + "0" * _count_tail(row))
        and any(text.startswith(trained) for text in wanted)
    ):
        return ""  # trained to its very end, and the end came early: the row was cut
    if "t" not in row.roles and not _names_other(row, everybody):
        return ""  # the text was written anew before training; what became of it nobody can tell
    return f"trained on {_shorten(row.supervised_text)}, expected {_shorten(row.target_text)}"


def _count_tail(row: Row) -> int:
    """Padding behind the last token."""
    return len(row.roles) - len(row.roles.rstrip("."))


def _shorten(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
