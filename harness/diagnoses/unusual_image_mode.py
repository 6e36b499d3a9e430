"""An image whose pixels are not plain RGB or grey, and a collator of your own.

## What it does
With a collator of your own, reports 16-bit, transparent, CMYK and palette images. Preflight's collator handles them.

## Why it matters
`convert("RGB")` clips 16-bit values, so that a page becomes all white; it drops transparency, so that black ink on a
transparent page becomes black on black; it approximates CMYK. Without it, a palette image has one channel where three
are expected.

## Example
```python
image = Image.open("scan16.png").convert("RGB")      # mode I;16: every pixel is now 255
```

## Use instead
```python
page = Image.new("RGBA", image.size, "white")        # transparency: lay it on white first
page.alpha_composite(image.convert("RGBA"))
image = page.convert("RGB")
```

## References
- Pillow, "Concepts": modes
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import count, known, show_rows, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="DAT005",
    severity=Severity.MAJOR,
    basis=Basis.READ,
    contract="every image is plain RGB or grey",
    needs=("configuration", "dataset", "dataset.image_headers"),
    where="the collator is your own",
    keys=("data.train_path", "data.val_path"),
)

_LOSING = ("16-bit", "transparency")
_CHANGING = ("cmyk", "palette")


def applies(facts: Facts) -> bool:
    return isinstance(facts.configuration, Unknown) or "collator" in facts.configuration.replaced_parts


def examine(facts: Facts) -> Iterator[Finding]:
    dataset = known(facts.dataset)
    losing = show_rows(dataset, *_LOSING)
    rows = (*losing, *show_rows(dataset, *_CHANGING))
    if rows:
        yield DIAGNOSIS.finding(
            f"{count(len(rows), 'image is', 'images are')} neither plain RGB nor grey, and the collator is your own: "
            + ('convert("RGB") loses what is written on such pages.' if losing else "their colours may change."),
            evidence=show_some(rows),
            fix="Bring these files to 8-bit RGB on white once, or do it in the collator.",
            snippet="from PIL import Image\n\n"
            'if image.mode.startswith("I"):  # 16 bits\n'
            '    image = image.point(lambda value: value / 256).convert("L")\n'
            'page = Image.new("RGBA", image.size, "white")\n'
            'page.alpha_composite(image.convert("RGBA"))\nimage = page.convert("RGB")',
            severity=Severity.MAJOR if losing else Severity.MINOR,
        )
