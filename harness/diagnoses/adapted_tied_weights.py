"""An adapter sits on a weight that two modules share.

## What it does
Looks for adapted modules whose weight is tied to another module's, as input embeddings and output head often are.

## Why it matters
Merging writes the change into the shared weight, and so into the other module as well, which was not trained with
it. After a reload the model writes nonsense.

## Example
`target_modules: [lm_head, q_proj]` with `tie_word_embeddings: true`.

## Use instead
Leave tied modules out of target_modules, or never merge this adapter.

## References
- huggingface/transformers#45127.
- PEFT documentation, adapters on tied layers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import count, known, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="LRA007",
    severity=Severity.MAJOR,
    basis=Basis.RAN,
    contract="no adapter sits on a tied weight",
    needs=("adapter",),
    explains=("diverging_merge",),
    keys=("lora.target_modules", "lora.modules_to_save"),
)


def examine(facts: Facts) -> Iterator[Finding]:
    adapter = known(facts.adapter)
    if not adapter.on_tied_weights:
        return
    # PEFT keeps an adapted module as `base_layer` inside its own.
    tied = {name.removesuffix(".base_layer").rpartition(".")[2] for name in adapter.on_tied_weights}
    targets = () if isinstance(adapter.targets, Unknown) else adapter.targets
    is_pattern = any(not re.fullmatch(r"[\w.]+", target.name) for target in targets)
    others = [] if is_pattern else [t.name for t in targets if t.name.rpartition(".")[2] not in tied]
    yield DIAGNOSIS.finding(
        f"{count(len(adapter.on_tied_weights), 'adapted module shares its', 'adapted modules share their')} weight "
        "with another "
        "module; expected none.",
        fix=f"Take {', '.join(sorted(tied))} out of lora.target_modules.",
        snippet=f"lora: {{target_modules: [{', '.join(others)}]}}" if others else "",
        evidence=show_some(adapter.on_tied_weights),
    )
