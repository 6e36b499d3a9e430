r"""One text is spelled in two ways of Unicode.

## What it does
Reads the text of every row. Names letters that are one character in some rows and a letter with a mark behind it in others,
and rows that hold Arabic letters as they look at one place of a word (presentation forms) instead of the letters themselves.

## Why it matters
The two look the same on a page and are other tokens. The model is asked to tell them apart by nothing it can see: it learns
to write either at random, and a comparison with the true text counts every one as an error. Presentation forms have few
tokens of their own and are cut into bytes.

## Example
```text
row 1: "caf\u00e9" (4 characters)      row 2: "cafe\u0301" (5 characters)
```

## Use instead
```python
text = unicodedata.normalize("NFC", text)      # "NFKC" for Arabic presentation forms
```

## References
- PaddlePaddle/PaddleOCR#10358, tesseract-ocr/tesseract#642; Unicode Standard Annex #15.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import count, known, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="DAT011",
    severity=Severity.MAJOR,
    basis=Basis.READ,
    contract="texts have one spelling",
    needs=("dataset.spellings",),
    keys=("data.train_path", "data.val_path"),
)


def examine(facts: Facts) -> Iterator[Finding]:
    seen = known(known(facts.dataset).spellings)
    if seen.shaped_rows:
        yield DIAGNOSIS.finding(
            f"{count(seen.shaped_rows, 'text holds', 'texts hold')} Arabic presentation forms; expected the letters "
            "themselves.",
            evidence=show_some(seen.shaped),
            fix="Bring the texts to the normal form NFKC before training, and those you compare with as well.",
            snippet='text = unicodedata.normalize("NFKC", text)',
        )
    if seen.letters:
        yield DIAGNOSIS.finding(
            f"{count(seen.letters, 'letter is', 'letters are')} one character in some texts and a letter with a mark behind "
            "it in others; expected one spelling.",
            evidence=show_some(seen.both_ways),
            fix="Bring all texts to the normal form NFC before training, and those you compare with as well.",
            snippet='text = unicodedata.normalize("NFC", text)',
        )
