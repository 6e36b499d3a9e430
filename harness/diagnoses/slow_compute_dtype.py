"""4-bit layers compute in float32 although the run is in half precision.

## What it does
Reads the dtype that each 4-bit layer computes in and compares it with what the run asks for.

## Why it matters
`bnb_4bit_compute_dtype` is float32 where nobody gives it. Each product then runs without the card's half-precision units,
several times slower, and each unpacked weight takes twice the room for as long as it is needed.

## Example
```python
BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4")
```

## Use instead
```python
BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16)
```

## References
- transformers documentation, "bitsandbytes": compute data type
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="DTY013",
    severity=Severity.MINOR,
    basis=Basis.RAN,
    contract="4-bit layers compute in the precision of the run",
    needs=("adapter.quantised", "configuration"),
    where="the model has packed weights",
    keys=("model.quantization.bnb_4bit_compute_dtype", "subject.model"),
)


def applies(facts: Facts) -> bool:
    return isinstance(facts.adapter, Unknown) or facts.adapter.quantised is not None


def examine(facts: Facts) -> Iterator[Finding]:
    found, configuration = known(known(facts.adapter).quantised), known(facts.configuration)
    if found is None or "float32" not in found.compute_dtypes:
        return
    asked = "bfloat16" if configuration.bf16 else "float16" if configuration.fp16 else ""
    half = next((dtype for dtype in ("bfloat16", "float16") if dtype in found.other_dtypes), "")
    if not (asked or half):
        return
    said = f"the run is in {asked}" if asked else f"other weights of the model are in {half}"
    yield DIAGNOSIS.finding(
        f"The 4-bit layers compute in float32, and {said}; expected {asked or half}.",
        fix="Name the compute dtype; without it the library takes float32.",
        snippet=f"bnb_4bit_compute_dtype: {asked or half}",
    )
