"""The processor's class has a slot for videos that its repository does not fill.

## What it does
Opens the processor as your code would, and looks at what it raises; then compares the slots that its class inherits with
the arguments that its own constructor has.

## Why it matters
Since transformers 4.52 the vision-language processors of the library have a video processor of their own. Remote code that
inherits from one of them inherits that slot, but its repository describes no video processor and its constructor hands none
on. The whole processor is then refused, although no page needs that part. Where torchvision is missing, its name is all
that the message says, and installing it only leads to the next message.

## Example
```text
ValueError: Received a NoneType for argument video_processor, but a BaseVideoProcessor was expected.
```

## Use instead
```python
class PageProcessor(ItsProcessor):
    attributes = ["image_processor", "tokenizer"]
```
or the transformers release that the repository was written for.

## References
- dots-01 in the project's list of real failures: transformers 4.52 to 4.57.
- transformers documentation, `ProcessorMixin`: `attributes`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Raised, Unknown
from preflight_ocr.harness.judging.failures import is_same_failure, show_raised
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="PRC006",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="the repository fills every slot of its processor",
    needs=("processor",),
    explains=("failing_collator", "tokenizer_as_processor"),
    keys=("subject.collator",),
)

_REFUSALS = (r"NoneType for argument \w*video_processor", r"Unrecognized video processor")


def examine(facts: Facts) -> Iterator[Finding]:
    processor = known(facts.processor)
    raised = _find_refusal(facts)
    if raised is None:
        return
    release = "" if isinstance(facts.environment, Unknown) else facts.environment.packages.get("transformers", "")
    stopped = _stops_user(facts, raised)
    yield DIAGNOSIS.finding(
        f"AutoProcessor refuses this model's processor under transformers {release or 'as installed'}: its class "
        "wants a "
        f"video processor, and the repository gives it none. {'Your code stops there.' if stopped else ''}".rstrip(),
        evidence=(
            f"AutoProcessor: {' '.join(show_raised(raised).split())}",
            *(f"its constructor has no argument for the inherited slot `{slot}`" for slot in processor.unfilled),
        ),
        fix="Open a subclass of the processor whose `attributes` leave the video processor out, or install the transformers "
        "release that the repository was written for. Preflight's own collator does the first.",
        snippet='class PageProcessor(ItsProcessor):\n    attributes = ["image_processor", "tokenizer"]',
        severity=None if stopped else Severity.MINOR,
    )


def _find_refusal(facts: Facts) -> Raised | None:
    """What opening the processor raised, if the slot for videos is what was not filled."""
    processor = known(facts.processor)
    later = None if isinstance(processor.registered, Unknown) else processor.registered.raised
    for raised in (processor.raised, later):
        if raised is None:
            continue
        # Without torchvision the message names only that; the constructor tells that it would not help.
        inherited = any(re.search(slot.replace("_", "[ _]?"), raised.message, re.IGNORECASE) for slot in _slots(facts))
        if inherited or any(re.search(refusal, raised.message) for refusal in _REFUSALS):
            return raised
    return None


def _slots(facts: Facts) -> tuple[str, ...]:
    return tuple(slot for slot in known(facts.processor).unfilled if "video" in slot)


def _stops_user(facts: Facts, raised: Raised) -> bool:
    """Whether a part of the user's ended in the same exception."""
    calls = () if isinstance(facts.forward, Unknown) else facts.forward.processor_calls
    batch = None if isinstance(facts.collator, Unknown) else facts.collator.batch
    return any(call.returned == "raised" for call in calls) or is_same_failure(batch, raised)
