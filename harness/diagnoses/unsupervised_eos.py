"""The end of the target is never trained on.

## What it does
Looks whether the EOS stands behind each target and has a label. Where a row was cut, has no labels at all, or has them
one token early, that is the cause, and is reported in place of this.

## Why it matters
The model never learns to stop. It reads the page and goes on: repeating the last line or inventing text up to the
length limit.

## Example
`tokenizer(text, add_special_tokens=False)` for the target, and nothing appended.

## Use instead
Append the EOS id to the target and train on it.

## References
- web-06 in the project's list of real failures; unslothai/unsloth#1008, huggingface/trl#734 for its best known
  cause.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Row, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.rows import count_trained, excuse_unfound_target, get_rows, is_ahead
from preflight_ocr.harness.judging.wording import count_part, known, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="LBL006",
    severity=Severity.MAJOR,
    basis=Basis.RAN,
    contract="the EOS behind the target is trained on",
    needs=("collator.batch.rows", "tokenizer.eos"),
    where="the model's targets end in the tokenizer's EOS",
    keys=("subject.collator",),
    entries=("labels",),
)

OWNERS = ("truncated_text", "truncated_image_tokens", "nothing_supervised", "wrong_target")


def applies(facts: Facts) -> bool:
    if isinstance(facts.collator, Unknown):
        return True
    reference = get_rows(facts.collator.reference)
    return not reference or any(_trains_end(row) for row in (*reference, *get_rows(facts.collator.batch)))


def excuse(facts: Facts) -> str:
    rows = get_rows(known(facts.collator).batch)
    # An end that is trained on is seen whatever stands in front of it.
    if unfound := "" if any(_trains_end(row) for row in rows) else excuse_unfound_target(rows):
        return unfound
    endless = _list_endless(facts)
    limit = _get_limit(facts)
    if endless and all(_is_full(row, limit) for _, row in endless):
        return f"a row fills max_seq_length ({limit}), so that its end may have been cut off"
    return ""


def examine(facts: Facts) -> Iterator[Finding]:
    rows, every = get_rows(known(facts.collator).batch), _list_endless(facts)
    # A row that was cut, that has no labels, or has them one token early, cannot have a trained end: that is the cause.
    endless = [(n, row) for n, row in every if not _has_another_cause(row) and not _is_full(row, _get_limit(facts))]
    owners = () if endless else OWNERS
    endless = endless or [(n, row) for n, row in every if _has_another_cause(row)]
    if not endless:
        return
    eos = known(facts.tokenizer).eos
    token = eos.content if eos is not None else "EOS"
    yield DIAGNOSIS.finding(
        f"{count_part(len(endless), len(rows), 'does', 'do')} not train on `{token}` behind the target.",
        fix="Append the EOS id to the target and leave its label in.",
        snippet="target_ids = tokenizer.encode(text, add_special_tokens=False) + [tokenizer.eos_token_id]",
        evidence=show_some(
            f"row {n}: {'the EOS is there, its label is -100' if 'e' in row.roles else 'there is no EOS'}"
            for n, row in endless
        ),
        owners=owners,
    )


def _list_endless(facts: Facts) -> list[tuple[int, Row]]:
    """The rows, by their numbers, whose target was found and whose end is not trained on. One that asks for nothing (an
    empty text) has no end."""
    shares_id = _shares_id(facts)
    rows = [(n, row) for n, row in enumerate(get_rows(known(facts.collator).batch)) if "t" in row.roles]
    asking = [(n, row) for n, row in rows if "1" in row.trained or row.target_text.strip()]
    return [(n, row) for n, row in asking if not _trains_end(row, shares_id=shares_id)]


def _trains_end(row: Row, *, shares_id: bool = False) -> bool:
    """Whether the EOS is trained on; where the padding has the same id, a trained padding token is one."""
    return bool(row.count("e", row.trained)) or bool(shares_id and count_trained(row, ".") and "e" not in row.roles)


def _has_another_cause(row: Row) -> bool:
    return row.truncated or "1" not in row.trained or is_ahead(row)


def _is_full(row: Row, limit: int | None) -> bool:
    """Whether a row without an EOS is as long as a row may be: its end may have been cut off."""
    return "e" not in row.roles and limit is not None and len(row.roles.strip(".")) >= limit


def _get_limit(facts: Facts) -> int | None:
    return None if isinstance(facts.configuration, Unknown) else facts.configuration.max_seq_length


def _shares_id(facts: Facts) -> bool:
    tokenizer = known(facts.tokenizer)
    return tokenizer.pad is not None and tokenizer.eos is not None and tokenizer.pad.id == tokenizer.eos.id
