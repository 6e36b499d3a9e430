"""Tokens of a row stand at positions that the model was not made for.

## What it does
Records the positions that the language model's rotary embedding is given for the rows with the largest pages and the
longest texts, and holds the highest against `max_position_embeddings`; what `rope_scaling` adds is counted.

## Why it matters
A rotary embedding computes an angle for any position, so that nothing is raised. Angles beyond those of pre-training
were never seen: attention to what is far away is arbitrary, and the end of a long page reads as noise. A large page is
easily thousands of tokens. Models whose pages are numbered by height and width get along with lower positions than
tokens; what counts here is the position.

## Example
```yaml
data: {preprocessing: {max_pixels: 12845056}}     # a page of 16,000 tokens for a model of 4,096 positions
```

## Use instead
```yaml
data: {preprocessing: {max_pixels: 1003520}}
```

## References
- QwenLM/Qwen3-VL#1220, unslothai/unsloth#1326
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import count, known, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="FWD019",
    severity=Severity.MAJOR,
    basis=Basis.RAN,
    contract="every token stands at a position that the model was made for",
    needs=("forward.positions",),
    keys=("data.preprocessing.max_pixels", "data.max_seq_length"),
)


def examine(facts: Facts) -> Iterator[Finding]:
    positions = known(known(facts.forward).positions)
    beyond = [row for row in positions.rows if row.highest >= positions.limit]
    if not beyond:
        return
    worst = max(beyond, key=lambda row: row.highest)
    yield DIAGNOSIS.finding(
        f"{count(len(beyond), 'row of the sample reaches', 'rows of the sample reach')} position {worst.highest}; the model "
        f"was made for {positions.limit} positions, from 0 to {positions.limit - 1}.",
        evidence=show_some(
            f"row {row.row} ({row.name}): {row.tokens} tokens, up to position {row.highest}" for row in beyond
        ),
        fix="Make pages smaller, split them, or leave the longest rows out. Scaling positions (rope_scaling) changes the "
        "model for every row.",
    )
