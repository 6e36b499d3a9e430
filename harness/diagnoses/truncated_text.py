"""The end of a text is cut off and never learned.

## What it does
Runs the collator on real rows and looks for those that end before their text does. Rows that lose image tokens are
reported by COL005.

## Why it matters
The image takes up hundreds of tokens before the first letter. With `max_seq_length: 512` and 273 image tokens little
more than 230 are left, and a page has a thousand. A text that is cut has no end token: the model learns to break off,
or never to stop.

## Example
```yaml
data: {max_seq_length: 512}      # pages of 1,000 text tokens behind 273 image tokens
```

## Use instead
```yaml
data: {max_seq_length: 2048}     # image tokens + prompt + the longest text + 1
```

## References
- transformers, "Padding and truncation"
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from preflight_ocr.harness.facts import OURS, Facts, Row, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.rows import count_real, cuts_image, pair_rows
from preflight_ocr.harness.judging.wording import count_part, known, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="DAT009",
    severity=Severity.MAJOR,
    basis=Basis.RAN,
    contract="every text is learned to its end",
    needs=("collator.batch.rows",),
    keys=("data.max_seq_length", "subject.collator"),
)


def examine(facts: Facts) -> Iterator[Finding]:
    collator = known(facts.collator)
    rows = known(known(collator.batch).rows)
    losing_images = {number for number, row, reference in pair_rows(collator) if cuts_image(row, reference)}
    every = [(n, row) for n, row in enumerate(rows) if row.truncated]
    cut = [(n, row) for n, row in every if n not in losing_images]
    owners = () if cut else ("truncated_image_tokens",)
    cut = cut or every
    if not cut:
        return
    configuration = facts.configuration
    limit = None if isinstance(configuration, Unknown) else configuration.max_seq_length
    wanted = max((limit or 0) + 8, *(_estimate_length(row) for _, row in cut))
    is_ours = collator.owner == OURS  # data.max_seq_length is read by our own collator alone
    yield DIAGNOSIS.finding(
        f"{count_part(len(cut), len(rows), 'is cut before its', 'are cut before their')} text ends"
        + (f" (max_seq_length is {limit})" if limit else "")
        + ": the rest is never learned, nor is the end token.",
        evidence=show_some(
            f"row {n}: {len(row.roles) - row.count('.')} tokens, {row.count('i')} of them image, {row.count('t')} "
            f"text; learned {len(row.supervised_text)} of {len(row.target_text)} letters"
            for n, row in cut
        ),
        fix=("Raise max_seq_length" if is_ours else f"Raise the length at which {collator.owner} cuts")
        + ", or split long pages into rows with less text.",
        snippet=f"data:\n  max_seq_length: {wanted}"
        if is_ours
        else f"max_length = {wanted}  # in place of the length you cut at",
        owners=owners,
    )


def _estimate_length(row: Row) -> int:
    """Tokens that the row needs, if the rest of its text takes as many a letter as what is there; a third more."""
    text, letters = row.count("t"), len(row.supervised_text)
    rest = len(row.target_text) * text / letters if letters else float(len(row.target_text))
    return math.ceil((count_real(row) - text + 1.33 * rest) / 8) * 8
