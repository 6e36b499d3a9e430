"""The model is loaded through an Auto class that its repository does not register.

## What it does
Compares the `AutoModel...` classes in your code with the keys of `auto_map` in the model's `config.json`.

## Why it matters
With remote code only the Auto classes in `auto_map` know the model. Any other one stops with "Unrecognized
configuration class", and the advice found for that message (another class of the same kind) leads further astray.

## Example
```python
AutoModelForVision2Seq.from_pretrained(path, trust_remote_code=True)     # auto_map has AutoModel only
```

## Use instead
```python
AutoModel.from_pretrained(path, trust_remote_code=True)
```

## References
- transformers, "Customizing models": registering a model with custom code to the auto classes
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Facts, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known, list_places, show_site, show_some

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="VER003",
    severity=Severity.BLOCKER,
    basis=Basis.READ,
    contract="the model is loaded through an Auto class that its repository registers",
    needs=("repository", "subject"),
    where="the repository's auto_map has AutoConfig",
    explains=("unloadable_model",),
)


def applies(facts: Facts) -> bool:
    # Where AutoConfig is not remote, the configuration class is transformers' own and more Auto classes may know it.
    return isinstance(facts.repository, Unknown) or "AutoConfig" in facts.repository.auto_map


def examine(facts: Facts) -> Iterator[Finding]:
    repository, subject = known(facts.repository), known(facts.subject)
    registered = tuple(name for name in repository.auto_map if name.startswith("AutoModel"))
    wrong = [
        use
        for use in subject.auto_classes
        if (name := use.name.rpartition(".")[2]).startswith("AutoModel") and name not in registered
    ]
    if not wrong or not registered:
        return
    absent = {use.name.rpartition(".")[2] for use in subject.absent_names}
    yield DIAGNOSIS.finding(
        f"The model is loaded with {wrong[0].name}, but its repository registers only {', '.join(registered)}.",
        evidence=(
            f"auto_map: {', '.join(f'{key} -> {value}' for key, value in repository.auto_map.items())}",
            *show_some(show_site(use.site) for use in wrong),
            *(
                f"{use.name} does not exist in the installed transformers either"
                for use in wrong
                if use.name.rpartition(".")[2] in absent
            ),
        ),
        places=list_places(*(use.site for use in wrong)),
        fix=f"Load it with {registered[0]}.",
        snippet=f"from transformers import {registered[0]}\n\n"
        f"model = {registered[0]}.from_pretrained(base_model, trust_remote_code=True)",
    )
