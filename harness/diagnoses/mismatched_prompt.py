"""Training uses another prompt than prediction.

## What it does
Compares the decoded prompt of each row with the one that the YAML gives for prediction (`data.prompt`), white space
aside, and looks for the BOS token where the model expects one, or for the first token of its template. Where no prompt
is given, the words are the user's own matter.

## Why it matters
The adapter learns to answer a prompt it will never be given. The fine-tuned model then reads worse than the base
model, with a perfect training loss.

## Example
Trained on `OCR:`, asked `Free OCR.`; or the BOS token left out because `add_special_tokens=False`.

## Use instead
Build both prompts with one function.

## References
- web-33 in the project's list of real failures.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Collator, Facts, Row, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.rows import get_rows, pair_rows
from preflight_ocr.harness.judging.wording import count_part, known, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="COL016",
    severity=Severity.MAJOR,
    basis=Basis.RAN,
    contract="training and prediction use one prompt",
    needs=("collator.batch.rows", "collator.starts_with_bos"),
    keys=("data.prompt", "subject.collator"),
    entries=("input_ids",),
)


def excuse(facts: Facts) -> str:
    collator = known(facts.collator)
    rows = get_rows(collator.batch)
    if not rows or not any(row.target_text for row in rows):
        return ""
    if any(map(_shows_prompt, rows)):
        is_looked_at = known(collator.starts_with_bos) or _list_beheaded(collator)
        return (
            "" if is_looked_at or not isinstance(collator.expected_prompt, Unknown) else collator.expected_prompt.reason
        )
    return "no row shows where its prompt ends: each is cut, or the text to be learned was not found in it"


def examine(facts: Facts) -> Iterator[Finding]:
    collator = known(facts.collator)
    rows, expected = get_rows(collator.batch), collator.expected_prompt
    views = () if isinstance(collator.views, Unknown) else collator.views
    # Of a cut picture, or of one of another shape, the tokens that lay its tiles out in the text are others too.
    varies = len({theirs.prompt_text for _, _, theirs in pair_rows(collator)}) > 1
    reshaped = varies and any(view.geometry in ("squashed", "cropped", "turned") for view in views)
    laid_out = {
        n
        for n, mine, theirs in pair_rows(collator)
        if 0 < mine.count("i") < theirs.count("i") or (reshaped and mine.count("i") != theirs.count("i"))
    }
    judged = [(n, row) for n, row in enumerate(rows) if _shows_prompt(row) and n not in laid_out]
    # Where tiles are laid out in the text, every row has a prompt of its own.
    own = {n: theirs.prompt_text for n, _, theirs in pair_rows(collator) if theirs.prompt_text}
    if isinstance(expected, Unknown):
        other = [(n, row) for n, row in judged if n in _list_beheaded(collator)]
    else:
        other = [(n, row) for n, row in judged if not _is_same(row, own.get(n, expected))]
    # Several prompts are a way to train; it is enough that prediction's is one of them.
    if len(other) < len(judged):
        other = []
    wanted = own.get(other[0][0], "") if other and isinstance(expected, Unknown) else expected
    headless = [n for n, row in judged if collator.starts_with_bos is True and not row.count("b")]
    if not other and not headless:
        return
    seen = f"the prompt is {other[0][1].prompt_text!r}, expected {wanted!r}" if other else ""
    missing = (
        f"{count_part(len(headless), len(rows), 'lacks', 'lack')} the BOS token that the model expects in front"
        if headless
        else ""
    )
    said = "; ".join(filter(None, (seen, missing)))
    yield DIAGNOSIS.finding(
        f"{said[0].upper()}{said[1:]}.",
        fix="Build the prompt in the collator as prediction builds it, with the BOS in front where the model expects one; "
        "or set data.prompt to the words that the collator trains with.",
        snippet=f"prompt = {str(wanted).strip()!r}" if other else "",
        evidence=show_some(
            [*(f"row {n}: {row.prompt_text!r}" for n, row in other), *(f"row {n}: no BOS" for n in headless)]
        ),
    )


def _list_beheaded(collator: Collator) -> frozenset[int]:
    """Rows whose prompt is the one of the model's template without its first token. A BOS is looked for by itself."""
    if collator.starts_with_bos is True:
        return frozenset()
    return frozenset(
        n
        for n, mine, theirs in pair_rows(collator)
        if mine.count("p") == theirs.count("p") - 1 > 0
        and theirs.prompt_text.strip().endswith(mine.prompt_text.strip())
    )


def _shows_prompt(row: Row) -> bool:
    """A row that is cut, or whose target was not found among its tokens, does not show where the prompt ends."""
    return "t" in row.roles and not row.truncated


def _is_same(row: Row, expected: str) -> bool:
    return " ".join(row.prompt_text.split()) == " ".join(expected.split())
