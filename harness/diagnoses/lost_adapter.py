"""The saved adapter does not come back when it is loaded.

## What it does
Saves the trained adapter, loads it onto the bare model in a fresh process, and compares the keys and the logits.

## Why it matters
PEFT finds adapter weights by the names of their modules. Saved under a wrapper, or under another layout of the model,
the names do not match at loading: there is a warning about missing keys, every `lora_B` stays at zero, and the
fine-tuned model is the base model again.

## Example
```text
saved:    base_model.model.base_model.model.layers.0...   (PEFT was put around a wrapper)
expected: base_model.model.model.layers.0...
```

## Use instead
Add the adapter to the model itself, before any wrapper:
```python
model = Wrapper(get_peft_model(model, config))
```

## References
- illuin-tech/colpali#424
- vllm-project/vllm#34186
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Learning, RoundTrip, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import count, known, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="SAV001",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="the saved adapter comes back when it is loaded",
    law="saved equals trained",
    needs=("learning.round_trip",),
    keys=("subject.peft",),
)


def excuse(facts: Facts) -> str:
    trip = known(known(facts.learning).round_trip)
    keys = trip.missing_keys or trip.unexpected_keys
    return trip.same_logits.reason if isinstance(trip.same_logits, Unknown) and not keys else ""


def examine(facts: Facts) -> Iterator[Finding]:
    learning = known(facts.learning)
    trip = known(learning.round_trip)
    keys = len(trip.missing_keys) + len(trip.unexpected_keys)
    if keys:
        seen = f"{keys} of its keys do not match the model's"
    elif trip.lost_keys:
        seen = "weights of the file did not arrive in the model, although both name them alike"
    elif trip.same_logits is False:
        seen = "the logits differ from those before saving"
    elif trip.differs_from_base is False and _has_moved(learning):
        seen = "the logits are those of the base model, although the adapter was trained"
    else:
        return
    unsaved = () if isinstance(facts.adapter, Unknown) or keys or trip.lost_keys else facts.adapter.unsaved
    if unsaved and not isinstance(unsaved, Unknown):
        parts = sorted({name.rpartition(".")[0].rpartition(".")[2] for name in unsaved})
        yield DIAGNOSIS.finding(
            f"{count(len(unsaved), 'parameter is', 'parameters are')} trained beside the adapter and not saved with it, and "
            f"{seen} after the adapter was loaded in a fresh process.",
            evidence=show_some(unsaved),
            fix="Name the part under lora.modules_to_save, so that it is saved with the adapter; or leave it frozen.",
            snippet=f"lora: {{modules_to_save: [{', '.join(parts)}]}}",
            keys=("lora.modules_to_save", "subject.peft"),
        )
        return
    yield DIAGNOSIS.finding(
        f"The adapter was saved and loaded onto the bare model in a fresh process, and {seen}. It should give the "
        "logits "
        "it gave when it was saved.",
        evidence=(
            f"same logits: {_show(trip.same_logits)}; differs from the base model: {_show(trip.differs_from_base)}",
            *_show_control(trip),
            *show_some((f"missing: {key}" for key in trip.missing_keys), limit=3),
            *show_some((f"unexpected: {key}" for key in trip.unexpected_keys), limit=3),
            *show_some((f"not loaded: {key}" for key in trip.lost_keys), limit=3),
        ),
        fix="Load the file's tensors yourself, or use another release of peft: this one renames them on the way in."
        if trip.lost_keys and not keys
        else "Add the adapter to the model itself, before any wrapper, and save with save_pretrained of the PEFT "
        "model.",
        snippet="model.load_state_dict(renamed, strict=False)  # key -> key with `.default` before `.weight`"
        if trip.lost_keys and not keys
        else "model = get_peft_model(model, lora_config)  # the bare model\n...\nmodel.save_pretrained(output_dir)",
    )


def _show_control(trip: RoundTrip) -> tuple[str, ...]:
    """How far the logits lie apart, beside how far those of one model do; for packed weights."""
    if isinstance(trip.control, Unknown) or isinstance(trip.difference, Unknown):
        return ()
    return (
        f"largest difference of a logit: {trip.difference:.3g}; between evaluations of one model: {trip.control:.3g}",
    )


def _has_moved(learning: Learning) -> bool:
    return not isinstance(learning.census, Unknown) and any(census.moved for census in learning.census)


def _show(answer: bool | Unknown) -> str:
    return f"unknown ({answer.reason})" if isinstance(answer, Unknown) else "yes" if answer else "no"
