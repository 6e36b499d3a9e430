"""The loss holds a position's logits to the wrong label.

## What it does
Computes the loss again from the logits that forward returned, once against each position's own label and once against
the next one's, and looks which of the two the model's own loss is.

## Why it matters
A decoder-only model must be held to the next token; an encoder-decoder, whose inputs were shifted already, to the token
of the position itself. Shifted once too often or once too seldom, the loss falls nicely while the model learns to copy
its input or to write every second token.

## Example
VisionEncoderDecoder (Donut, TrOCR) with transformers 4.51: forward shifts the labels into decoder_input_ids, and the
loss function shifts them again.

## Use instead
Another release of transformers, or a loss of your own: `cross_entropy(logits.flatten(0, 1), labels.flatten())`.

## References
- huggingface/transformers#40863
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="LRN007",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="the loss compares each position with the label it should predict",
    needs=("forward.loss_reads", "forward.signature"),
    keys=("subject.collator",),
)


def excuse(facts: Facts) -> str:
    reads = known(known(facts.forward).loss_reads)
    return (
        "the model's loss is the plain cross-entropy with neither its own labels nor the next ones"
        if reads == "neither"
        else ""
    )


def examine(facts: Facts) -> Iterator[Finding]:
    forward = known(facts.forward)
    apart = "decoder_input_ids" in known(forward.signature).names
    reads, wanted = known(forward.loss_reads), "same" if apart else "next"
    if isinstance(reads, Unknown) or reads in (wanted, "neither"):
        return
    shown = {"same": "its own label", "next": "the next label"}
    kind = "an encoder-decoder model, whose inputs are shifted already" if apart else "a decoder-only model"
    yield DIAGNOSIS.finding(
        f"The loss of {forward.model_class} compares each position with {shown[reads]}; in {kind}, it must be "
        f"compared with {shown[wanted]}.",
        evidence=(f"the loss that forward returned is the cross-entropy of the logits with {shown[reads]}",),
        fix="Use a release of transformers without this fault, or compute the loss from the logits yourself.",
        snippet="loss = cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100)"
        if apart
        else "loss = cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)",
    )
