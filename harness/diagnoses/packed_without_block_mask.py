"""Several rows stand in one sequence and see each other.

## What it does
Recognises a batch that has as many supervised stretches as rows, but fewer sequences, and compares the logits of each
stretch with those that the row has by itself. Where these cannot be had, since the rows are asked in other words than
inference uses, it changes one row's picture and looks at the logits of the rows behind it.

## Why it matters
Packing saves padding. Without a mask that keeps the rows apart, each page is read with the pages before it in view, and the
adapter learns to write with them there. At inference a page stands alone. Restarting `position_ids` alone does not separate
the rows: attention goes by the mask.

## Example
```python
batch["input_ids"] = torch.cat(rows)[None]
batch["position_ids"] = torch.cat([torch.arange(len(row)) for row in rows])[None]
batch["attention_mask"] = torch.ones_like(batch["input_ids"])       # every row sees every row before it
```

## Use instead
Do not pack, or hand over a block-diagonal mask [B, 1, S, S] in the model's dtype:
```python
blocks = torch.block_diag(*[torch.ones(len(row), len(row)).tril() for row in rows]).bool()
mask = torch.where(blocks, 0.0, torch.finfo(dtype).min)[None, None]
```
Flash attention takes the restarting positions themselves for the borders, without an attention mask.

## References
- huggingface/trl#2834, hiyouga/LLaMA-Factory#7754.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Raised, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.rows import get_rows, is_packed
from preflight_ocr.harness.judging.wording import count, known, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="COL020",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="rows that are packed into one sequence do not see each other",
    needs=("forward",),
    where="several rows are packed into one sequence",
    explains=("training_differs_from_generation", "leaking_image", "padding_changes_row"),
    keys=("subject.collator",),
    entries=("attention_mask",),
)


def applies(facts: Facts) -> bool:
    forward = facts.forward
    return isinstance(forward, Unknown) or isinstance(forward.agreement, Unknown) or forward.agreement.packed


def excuse(facts: Facts) -> str:
    agreement = known(facts.forward).agreement
    return agreement.reason if isinstance(agreement, Unknown) and not _list_leaks(facts) else ""


def examine(facts: Facts) -> Iterator[Finding]:
    agreement = known(facts.forward).agreement
    if isinstance(agreement, Unknown):
        leaks = _list_leaks(facts)
        rows = len(get_rows(known(facts.collator).batch))
        yield _report(
            f"{count(rows, 'row')} stand packed in fewer sequences, and another picture in one of them changes the logits "
            f"of {count(len({other for _, other in leaks}), 'other')}; expected none.",
            evidence=show_some(f"the picture of row {row} reaches row {other}" for row, other in leaks),
        )
        return
    departing = agreement.departing
    if not departing:
        return
    largest = max(*agreement.first, *agreement.along)
    yield _report(
        f"{count(len(agreement.first), 'row')} stand packed in fewer sequences, and {len(departing)} of them have other "
        f"logits there than alone, by up to {largest:.2g} of their standard deviation; expected the same.",
        evidence=show_some(
            f"row {row}: {agreement.first[row]:.2g} at the first target, {agreement.along[row]:.2g} behind it"
            for row in departing
        ),
    )


def _report(summary: str, *, evidence: tuple[str, ...]) -> Finding:
    return DIAGNOSIS.finding(
        summary,
        evidence=evidence,
        fix="Give each row a sequence of its own, or hand over a block-diagonal attention mask with the packed rows.",
        snippet="blocks = torch.block_diag(*[torch.ones(n, n).tril() for n in lengths]).bool()",
    )


def _list_leaks(facts: Facts) -> tuple[tuple[int, int], ...]:
    """(row, other row that its picture reaches), of rows that are packed; none where that is not known."""
    behaviour, collator = known(facts.forward).behaviour, facts.collator
    if isinstance(behaviour, Unknown) or isinstance(collator, Unknown) or isinstance(behaviour.image_leaks, Unknown):
        return ()
    batch = collator.batch
    return behaviour.image_leaks if not isinstance(batch, Raised | Unknown) and is_packed(batch) else ()
