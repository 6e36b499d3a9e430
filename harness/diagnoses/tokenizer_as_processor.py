"""An image is handed to a tokenizer that was taken for a processor.

## What it does
Looks at what `AutoProcessor` really returns for this model, and whether your collator calls it with `images=`.

## Why it matters
Where a repository names a processor class but ships no code for it, `AutoProcessor` returns the tokenizer without a
word. The call then fails with "You need to specify either `text` or `text_target`", which says nothing about images;
with a text beside it the image is dropped.

## Example
```python
processor = AutoProcessor.from_pretrained(path, trust_remote_code=True)
inputs = processor(images=image)        # processor is a tokenizer
```

## Use instead
Prepare the images in the collator (Preflight's does), and use the tokenizer for text only.

## References
- transformers, "Processors": AutoProcessor falls back to the tokenizer
- `processor_config.json` of deepseek-ai/DeepSeek-OCR names a class that the repository does not contain
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Batch, Facts, Site, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known, list_places, show_site, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="PRC001",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="images are handed only to what can take images",
    needs=("processor",),
    explains=("failing_collator",),
    keys=("subject.collator",),
)


def examine(facts: Facts) -> Iterator[Finding]:
    processor = known(facts.processor)
    # Where the loaded model makes AutoProcessor give a processor, only a call that was really made can be a wrong one.
    has_processor = processor.returned == "processor" or _gives_processor(facts)
    sites = processor.image_calls or (() if has_processor else _list_written_calls(facts))
    if not sites:
        return
    seen = {
        "tokenizer": f"AutoProcessor returns a tokenizer ({processor.class_name}) for this model",
        "raised": "AutoProcessor cannot build a processor for this model",
        "processor": f"the object called, {processor.class_name}, has no image path",
    }[processor.returned]
    raised = processor.raised
    yield DIAGNOSIS.finding(
        f"{seen}, and your code hands it images. Images must be prepared by the collator.",
        evidence=(
            *show_some(show_site(site) for site in sites),
            *((f"AutoProcessor: {raised.type}: {raised.message}",) if raised else ()),
        ),
        fix="Prepare the images in the collator and call the tokenizer for text only; leaving out subject.collator "
        "uses Preflight's, which does so.",
        places=list_places(*sites),
        snippet="tokenizer = AutoTokenizer.from_pretrained(base_model, trust_remote_code=True)",
    )


def _gives_processor(facts: Facts) -> bool:
    registered = known(facts.processor).registered
    return not isinstance(registered, Unknown) and registered.returned == "processor"


def _list_written_calls(facts: Facts) -> tuple[Site, ...]:
    """Calls in the user's source, unless a batch came out all the same: then they were not on the way."""
    if isinstance(facts.subject, Unknown):
        return ()
    if not isinstance(facts.collator, Unknown) and isinstance(facts.collator.batch, Batch):
        return ()
    return facts.subject.image_calls_on_processor
