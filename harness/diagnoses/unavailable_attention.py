"""An attention implementation that cannot work with this code, these packages, this card or this dtype.

## What it does
Holds `model.attn_implementation` against what the model's code declares, the packages, the cards and the dtype.

## Why it matters
FlashAttention 2 is a separate package, needs a card of capability 8.0 or newer and half-precision inputs. Some remote
code knows only eager and flash attention and refuses sdpa. Either way loading stops, often on the rented machine
only.

## Example
```yaml
model: {attn_implementation: flash_attention_2, torch_dtype: float32}
```

## Use instead
```yaml
model: {attn_implementation: eager}
```

## References
- transformers, "Attention backends"
- Dao-AILab/flash-attention, "Installation and features"
"""

from __future__ import annotations

from collections.abc import Iterator

from preflight_ocr.harness.facts import Environment, Facts, Unknown
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="CFG006",
    severity=Severity.BLOCKER,
    basis=Basis.READ,
    contract="the attention implementation asked for is available",
    needs=("configuration", "environment", "repository"),
    where="model.attn_implementation asks for one that is used",
    explains=("unloadable_model", "failing_forward", "failing_step"),
    keys=("model.attn_implementation",),
)

_PACKAGES = {"flash_attention_2": "flash_attn", "flash_attention_3": "flash_attn_3"}


def applies(facts: Facts) -> bool:
    if isinstance(facts.configuration, Unknown):
        return True
    # A loader of the user's own may choose by itself; then the key is one that changes nothing.
    ignored = any(key.path == "model.attn_implementation" for key in facts.configuration.ineffective_keys)
    return bool(facts.configuration.attn_implementation) and not ignored


def examine(facts: Facts) -> Iterator[Finding]:
    configuration, repository = known(facts.configuration), known(facts.repository)
    asked = configuration.attn_implementation or ""
    declared = () if isinstance(repository.attention, Unknown) else repository.attention
    obstacles = []
    if asked != "eager" and declared and asked not in declared:
        obstacles.append(f"the model's code declares only {', '.join(declared)}")
    if asked in _PACKAGES:
        obstacles += _obstruct_flash(_PACKAGES[asked], known(facts.environment))
        if configuration.torch_dtype == "float32" and not (configuration.fp16 or configuration.bf16):
            obstacles.append("flash attention takes float16 or bfloat16, and torch_dtype is float32")
        if configuration.use_cpu:
            obstacles.append("flash attention needs an NVIDIA card, and use_cpu is true")
    if not obstacles:
        return
    instead = "sdpa" if "sdpa" in declared or (not declared and asked != "sdpa") else "eager"
    yield DIAGNOSIS.finding(
        f"attn_implementation is {asked}, which cannot work here: {'; '.join(obstacles)}.",
        evidence=tuple(obstacles),
        fix=f"Use {instead}, or remove the obstacle named.",
        snippet=f"model:\n  attn_implementation: {instead}",
    )


def _obstruct_flash(package: str, environment: Environment) -> Iterator[str]:
    installed = {name.replace("-", "_") for name in environment.packages}
    if package not in installed:
        yield f"the package {package} is not installed"
    cards = () if isinstance(environment.cards, Unknown) else environment.cards
    if cards and all(float(card.capability) < 8.0 for card in cards):
        yield f"{cards[0].name} has capability {cards[0].capability}, flash attention needs 8.0 or newer"
