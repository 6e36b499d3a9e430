"""An image so large that decoding it is a risk.

## What it does
Reads the size in every image header and reports those beyond Pillow's limit for decompression bombs.

## Why it matters
Pillow warns above about 90 million pixels and raises above twice that. A scan at 1200 dpi decodes to half a gigabyte
for each data loader worker, and the model sees it scaled down to a few million pixels anyway.

## Example
```text
plan.tif: 20000 x 14000 pixels, 840 MB when decoded
```

## Use instead
Scale such files down once, before training:
```python
image.thumbnail((5000, 5000))
```

## References
- Pillow, "Image module": MAX_IMAGE_PIXELS, DecompressionBombError
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import count, known, show_rows, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="DAT003",
    severity=Severity.MAJOR,
    basis=Basis.READ,
    contract="every image is of a size that can be decoded safely",
    needs=("dataset", "dataset.image_headers"),
    keys=("data.train_path", "data.val_path"),
)


def examine(facts: Facts) -> Iterator[Finding]:
    rows = show_rows(known(facts.dataset), "enormous image")
    if rows:
        yield DIAGNOSIS.finding(
            f"{count(len(rows), 'image is', 'images are')} larger than Pillow decodes without a warning: decoding "
            "takes much memory, or "
            "raises an exception.",
            evidence=show_some(rows),
            fix="Scale these files down once, before training.",
            snippet="image.thumbnail((5000, 5000))\nimage.save(path)",
        )
