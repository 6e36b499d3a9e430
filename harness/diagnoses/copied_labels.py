"""Labels are a copy of input_ids: the prompt and the image are trained on as well.

## What it does
Looks whether every real token of every row is trained on, although prompt or image tokens are among them. A copy
whose padding was masked by id counts too.

## Why it matters
Most of the loss comes from hundreds of identical image tokens and a prompt that never changes. It looks excellent
at once, and little gradient is left for the text that was to be learned.

## Example
`batch["labels"] = batch["input_ids"].clone()`

## Use instead
Set every label to -100 except those of the target text and its EOS.

## References
- chain-16 in the project's list of real failures.
- transformers documentation, causal language models: labels of -100 are ignored.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.rows import count_trained, get_rows, is_copy
from preflight_ocr.harness.judging.wording import known, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="LBL001",
    severity=Severity.MAJOR,
    basis=Basis.RAN,
    contract="labels are more than a copy of input_ids",
    needs=("collator.batch.rows",),
    explains=("unmasked_prompt", "unmasked_image_tokens", "unmasked_padding", "worse_than_guessing"),
    keys=("subject.collator",),
    entries=("labels",),
)


def examine(facts: Facts) -> Iterator[Finding]:
    rows = get_rows(known(facts.collator).batch)
    if not rows or not all(is_copy(row) for row in rows):
        return
    total = sum(row.trained.count("1") for row in rows)
    wanted = sum(count_trained(row, "te") for row in rows)
    yield DIAGNOSIS.finding(
        f"Every token of all {len(rows)} rows is trained on: {total} labels, of which {wanted} belong to the target.",
        fix="Mask everything in front of the target, and the padding, with -100.",
        snippet="# while a row's ids are put together: target_starts.append(len(prompt_ids))\n"
        "labels = input_ids.clone()\n"
        "for row, start in enumerate(target_starts):  # left padding counts: the place in the padded row\n"
        "    labels[row, :start] = -100\n"
        "labels[attention_mask == 0] = -100",
        evidence=show_some(
            f"row {n}: trained on {count_trained(row, 'bp')} prompt, {count_trained(row, 'i')} image, "
            f"{count_trained(row, '.')} padding and {count_trained(row, 'te')} target tokens"
            for n, row in enumerate(rows)
        ),
    )
