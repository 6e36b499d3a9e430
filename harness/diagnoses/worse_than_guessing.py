"""The loss before training is worse than a uniform guess over the vocabulary.

## What it does
Compares the loss of the trained weights on a real batch with ln(vocabulary), the loss of knowing nothing. With
random weights the comparison means nothing and is skipped. It is skipped as well where the loss is that of a few tokens
which the targets repeat, as boxes repeat their digits: with each kind of token counted once, the weights do no worse.

## Why it matters
A trained model that does worse than chance is not being asked what it was trained for: its inputs or its labels are
broken. The loss will fall from there, and the run will look like a success.

## Example
A loss of 15.7 with ln(vocabulary) = 11.77.

## Use instead
Look at one row: the decoded input, where the features land, the decoded labels.

## References
- chain-13 in the project's list of real failures.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known

MARGIN = 1.1  # weights that nobody has trained yet give a little more than a uniform guess

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="LRN004",
    severity=Severity.BLOCKER,
    basis=Basis.RAN,
    contract="the loss before training beats a uniform guess",
    needs=("forward.loss", "forward.uniform_loss"),
)


def excuse(facts: Facts) -> str:
    forward = known(facts.forward)
    if forward.weights != "real":
        return "the weights are random: only trained weights can beat a uniform guess"
    by_token, uniform = forward.loss_by_token, known(forward.uniform_loss)
    if isinstance(by_token, Unknown) or not _is_worse(known(forward.loss), uniform) or _is_worse(by_token, uniform):
        return ""
    return (
        f"the loss before training is {known(forward.loss):.2f}, but only because the targets repeat a few tokens: with "
        f"each kind counted once it is {by_token:.2f}, and a uniform guess has {uniform:.2f}"
    )


def examine(facts: Facts) -> Iterator[Finding]:
    forward = known(facts.forward)
    loss, uniform = known(forward.loss), known(forward.uniform_loss)
    if not _is_worse(loss, uniform):
        return
    yield DIAGNOSIS.finding(
        f"The loss before training is {loss:.2f}; a uniform guess over the vocabulary has {uniform:.2f}.",
        fix="Decode one row's input and labels and look where its image features land.",
        evidence=(f"loss {loss:.4f}, ln(vocabulary) {uniform:.4f}",),
    )


def _is_worse(loss: float, uniform: float) -> bool:
    return loss > MARGIN * uniform > 0
