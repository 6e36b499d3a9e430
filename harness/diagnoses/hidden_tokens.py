"""The attention mask hides real tokens, or shows padding in front of them.

## What it does
Lays the attention mask over each row's tokens. Padding behind the last token may be attended: with a causal model
nothing looks back from there. Where pad and EOS share an id, a hidden one that has no label may be either: of that
nothing is said.

## Why it matters
Hidden tokens cannot be read by the model; attended padding in front shifts positions and mixes noise into every
token. Neither raises anything.

## Example
`attention_mask = input_ids != pad_id` where the pad is also the EOS token, or occurs in the text.

## Use instead
Build the mask while padding, from lengths and not from token ids.

## References
- web-23 in the project's list of real failures.
- transformers documentation, glossary: attention mask.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Row, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.rows import get_rows
from preflight_ocr.harness.judging.wording import count, known, show_some

NAMES = {"b": "BOS", "i": "image", "p": "prompt", "t": "target", "e": "EOS"}

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="COL015",
    severity=Severity.MAJOR,
    basis=Basis.RAN,
    contract="the attention mask is on at every token and off at padding",
    needs=("collator.batch.rows",),
    explains=("unheard_text", "worse_than_guessing"),
    keys=("subject.collator",),
    entries=("attention_mask",),
)


def excuse(facts: Facts) -> str:
    rows = get_rows(known(facts.collator).batch)
    if not _pads_with_eos(facts) or any(_describe(row, pads_with_eos=True) for row in rows):
        return ""
    unclear = [n for n, row in enumerate(rows) if row.attended and _hides_unlabelled_end(row)]
    return (
        f"row {unclear[0]}: pad and EOS share an id, and the token behind the text is hidden and has no label: which of "
        "the two it is cannot be told"
        if unclear
        else ""
    )


def examine(facts: Facts) -> Iterator[Finding]:
    rows = get_rows(known(facts.collator).batch)
    pads_with_eos = _pads_with_eos(facts)
    wrong = [f"row {n}: {said}" for n, row in enumerate(rows) if (said := _describe(row, pads_with_eos=pads_with_eos))]
    if not wrong:
        return
    yield DIAGNOSIS.finding(
        f"The attention mask does not fit the tokens in {len(wrong)} of {count(len(rows), 'row')}.",
        fix="Build the attention mask from the rows' lengths while padding, not by comparing ids with the pad id.",
        snippet="mask[row, -length:] = 1  # left padding",
        evidence=show_some(wrong),
    )


def _describe(row: Row, *, pads_with_eos: bool) -> str:
    if not row.attended:
        return ""
    hidden = {role: row.count(role) - row.count(role, row.attended) for role in NAMES}
    if pads_with_eos and _hides_unlabelled_end(row):
        hidden["e"] = 0  # labels lose the EOS as well: it may be padding, and where it is not, that is PRC004
    front = len(row.roles) - len(row.roles.lstrip("."))
    shown = row.attended[:front].count("1") if front < len(row.roles) else 0
    parts = [f"{count(number, f'{NAMES[role]} token')} hidden" for role, number in hidden.items() if number > 0]
    return ", ".join([*parts, *([f"{count(shown, 'padding token')} in front attended"] if shown else [])])


def _hides_unlabelled_end(row: Row) -> bool:
    """Whether the text is trained on, and an EOS behind it neither trained on nor attended."""
    is_trained = bool(row.count("t", row.trained)) and not row.count("e", row.trained)
    return is_trained and row.count("e") > row.count("e", row.attended)


def _pads_with_eos(facts: Facts) -> bool:
    tokenizer = facts.tokenizer
    if isinstance(tokenizer, Unknown) or tokenizer.pad is None or tokenizer.eos is None:
        return False
    return tokenizer.pad.id == tokenizer.eos.id
