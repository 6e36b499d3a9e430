"""The collator cannot be sent to a data loader's worker process.

## What it does
Pickles the collator the way the data loader does when it starts a worker under spawn.

## Why it matters
Windows and macOS start workers by spawn. With `dataloader_num_workers` above 0 training stops before the first step
with `Can't pickle local object`. Under Linux's fork it passes, until somebody runs the same file elsewhere.

## Example
`data_collator=lambda rows: collate(rows, processor)`

## Use instead
A function at the top level of a module, or an instance of a class that is defined there.

## References
- chain-24 in the project's list of real failures.
- PyTorch documentation, `torch.utils.data`: platform-specific behaviours of multi-process loading.
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import count, known

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="COL011",
    severity=Severity.MAJOR,
    basis=Basis.RAN,
    contract="the collator can be pickled",
    needs=("collator.pickles",),
    keys=("subject.collator",),
)


def examine(facts: Facts) -> Iterator[Finding]:
    collator = known(facts.collator)
    if collator.pickles is not False:
        return
    workers = 0 if isinstance(facts.configuration, Unknown) else facts.configuration.dataloader_workers
    yield DIAGNOSIS.finding(
        f"{collator.owner} returns a collator that cannot be pickled; {count(workers, 'worker is', 'workers are')} "
        "asked for.",
        fix="Make the collator a top-level function or an instance of a top-level class.",
        snippet="class Collate:\n    def __init__(self, processor): self.processor = processor\n"
        "    def __call__(self, rows): ...",
        evidence=(collator.pickle_error,) if collator.pickle_error else (),
        severity=_weigh(facts, workers),
    )


def _weigh(facts: Facts, workers: int) -> Severity:
    if not workers:
        return Severity.MINOR  # nothing is sent anywhere yet
    forks = not isinstance(facts.environment, Unknown) and facts.environment.platform.lower().startswith("linux")
    return Severity.MAJOR if forks else Severity.BLOCKER
