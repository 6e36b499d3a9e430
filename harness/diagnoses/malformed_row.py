"""A row that is no row, or rows without the key that names their picture.

## What it does
Looks at every row of the files that `data.train_path`, `val_path` and `test_path` name: it has to be an object with a
column that is known to hold text, and a picture that it names has to be named as text. Rows that have no picture at all
are reported with their columns. Unless the collator is your own, so are rows that ours cannot make what they say of:
several pictures, several answers, a turn of the system, another number of `<image>` than of pictures, an `image_path`
that is null or empty. A row of text alone has no such key.

## Why it matters
A row that is `true`, a list or a bare string stops whatever reads it, at the step that meets it. Rows that call their
picture otherwise (`scan`, `page`) do not stop: each is taken for a row without a picture, and the run learns to write
texts without looking at any page.

## Example
```json
[{"scan": "pages/0007.png", "text": "..."}, true]
```

## Use instead
```json
[{"image_path": "pages/0007.png", "text": "..."}]
```

## References
- datasets, "ImageFolder": the rows of metadata.jsonl and metadata.csv have `file_name`
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
    contract="every row has a form that is known",
    needs=("dataset",),
    explains=("failing_collator", "dropped_rows", "failing_batch", "unseen_image", "mixed_batch"),
    keys=("data.train_path", "data.val_path"),
)


def examine(facts: Facts) -> Iterator[Finding]:
    dataset = known(facts.dataset)
    # A collator of the user's own may read other columns: only ours is known to need one of these.
    ours = not isinstance(facts.configuration, Unknown) and "collator" not in facts.configuration.replaced_parts
    wrong = [*show_rows(dataset, "malformed row")]
    for split in dataset.splits:
        if not split.rows:
            wrong.append(f"{split.name}: {split.path} lists no row")
        elif ours and split.columns and not split.pictured:
            wrong.append(f"{split.name}: no row has a picture; the rows have {', '.join(split.columns)}")
    if wrong:
        yield DIAGNOSIS.finding(
            f"{wrong[0]}; expected objects with `image_path` and `text`, or another known form.",
            evidence=show_some(wrong),
            fix="Write each row as an object with `image_path` (relative to its file) and `text`, or name your own "
            "collator under `subject.collator` where it reads these rows as they are. Delete a row that lacks its page; "
            "one that is meant as text alone has no `image_path`.",
            snippet='[{"image_path": "pages/0001.png", "text": "..."}]',
        )
