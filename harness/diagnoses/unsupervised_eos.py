"""The end of the target is never trained on.

## What it does
Looks whether the EOS stands behind each target and has a label. A row that was cut is left out: its text has no
end.

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
    keys=("subject.collator",),
)


def excuse(facts: Facts) -> str:
    rows = get_rows(known(facts.collator).batch)
    # An end that is trained on is seen whatever stands in front of it.
    return "" if any(row.count("e", row.trained) for row in rows) else excuse_unfound_target(rows)


def examine(facts: Facts) -> Iterator[Finding]:
    collator = known(facts.collator)
    rows, reference = get_rows(collator.batch), get_rows(collator.reference)
    if reference and not any(row.count("e", row.trained) for row in reference):
        return  # this model's targets do not end in the tokenizer's EOS
    limit = None if isinstance(facts.configuration, Unknown) else facts.configuration.max_seq_length
    endless = [(n, row) for n, row in enumerate(rows) if _is_endless(row, limit, shares_id=_shares_id(facts))]
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
    )


def _is_endless(row: Row, limit: int | None, *, shares_id: bool) -> bool:
    if "1" not in row.trained or row.count("e", row.trained) or row.truncated or is_ahead(row):
        return False
    if "t" not in row.roles:
        return False  # where the target is not found, nothing tells whether it was cut
    if "e" not in row.roles and limit is not None and len(row.roles.strip(".")) >= limit:
        return False  # full to the limit: the end was cut off
    return not (shares_id and count_trained(row, ".") and "e" not in row.roles)


def _shares_id(facts: Facts) -> bool:
    tokenizer = known(facts.tokenizer)
    return tokenizer.pad is not None and tokenizer.eos is not None and tokenizer.pad.id == tokenizer.eos.id
