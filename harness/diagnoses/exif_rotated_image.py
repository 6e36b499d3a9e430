"""A photograph whose file says "turn me", and a collator that may not.

## What it does
With a collator of your own, reports images whose EXIF orientation is not upright. Preflight's collator turns them.

## Why it matters
Cameras store the sensor's picture and a note on how to turn it. Viewers follow the note, `Image.open` does not: the
page looks upright to you and reaches the model lying on its side.

## Example
```python
image = Image.open(path).convert("RGB")
```

## Use instead
```python
image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
```

## References
- Pillow, "ImageOps module": exif_transpose
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import count, known, show_rows, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="DAT004",
    severity=Severity.MAJOR,
    basis=Basis.READ,
    contract="every image file is upright as it is stored",
    needs=("configuration", "dataset", "dataset.image_headers"),
    where="the collator is your own",
    keys=("data.train_path", "data.val_path"),
)


def applies(facts: Facts) -> bool:
    return isinstance(facts.configuration, Unknown) or "collator" in facts.configuration.replaced_parts


def examine(facts: Facts) -> Iterator[Finding]:
    rows = show_rows(known(facts.dataset), "exif rotation")
    if rows:
        yield DIAGNOSIS.finding(
            f"{count(len(rows), 'image has', 'images have')} an EXIF rotation, and the collator is your own: "
            "Image.open does not follow it, "
            "so these pages reach the model turned.",
            evidence=show_some(rows),
            fix="Turn the image when it is opened, or save the files upright once; that ends this finding.",
            snippet="from PIL import Image, ImageOps\n\n"
            'image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")',
        )
