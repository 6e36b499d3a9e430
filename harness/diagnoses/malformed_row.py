"""A row that is no row, or rows without the key that names their picture.

## What it does
Looks at every entry of every `metadata.json`: it has to be an object, its `image_path` text. A file without any row is
reported too, and, unless the collator is your own, one whose rows have no `image_path` at all and a row whose
`image_path` is null or empty. A row of text alone has no such key.

## Why it matters
A row that is `true`, a list or a bare string stops whatever reads it, at the step that meets it. Rows that call their
picture otherwise (`file_name`, `image`) do not stop: each is taken for a row without a picture, and the run learns to write
texts without looking at any page.

## Example
```json
[{"file_name": "pages/0007.png", "text": "..."}, true]
```

## Use instead
```json
[{"image_path": "pages/0007.png", "text": "..."}]
```

## References
- datasets, "ImageFolder": its rows have `file_name`; those of this project have `image_path`
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known, show_rows, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="DAT010",
    severity=Severity.BLOCKER,
    basis=Basis.READ,
    contract="every row is an object whose image_path is text",
    needs=("dataset",),
    explains=("failing_collator", "dropped_rows", "failing_batch", "unseen_image", "mixed_batch"),
    keys=("data.train_path", "data.val_path"),
)


def examine(facts: Facts) -> Iterator[Finding]:
    dataset = known(facts.dataset)
    # A collator of the user's own may read other keys: only ours is known to need this one.
    ours = not isinstance(facts.configuration, Unknown) and "collator" not in facts.configuration.replaced_parts
    wrong = [*show_rows(dataset, "malformed row")]
    for split in dataset.splits:
        if not split.rows:
            wrong.append(f"{split.name}: {split.path} lists no row")
        elif ours and split.columns and "image_path" not in split.columns:
            wrong.append(f"{split.name}: no row has `image_path`; the rows have {', '.join(split.columns)}")
    if wrong:
        yield DIAGNOSIS.finding(
            f"{wrong[0]}; expected objects with `image_path` and `text`.",
            evidence=show_some(wrong),
            fix="Write each row as an object with `image_path` (relative to metadata.json) and `text`. Delete a row "
            "that lacks its page; one that is meant as text alone has no `image_path`.",
            snippet='[{"image_path": "pages/0001.png", "text": "..."}]',
        )
