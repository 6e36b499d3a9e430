"""The header each diagnosis declares itself with."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from types import FunctionType, ModuleType
from typing import NamedTuple, Protocol, cast

import msgspec

from preflight_ocr.harness.facts import Facts, Site
from preflight_ocr.harness.judging.findings import Basis, Finding, Fix, Severity
from preflight_ocr.harness.judging.laws import LawName

FAMILIES = {
    "ENV": "environment",
    "CFG": "configuration",
    "DAT": "data",
    "FWD": "forward signature",
    "PRC": "processor and tokenizer",
    "COL": "collator and image/token alignment",
    "LBL": "labels",
    "DTY": "dtype",
    "DEV": "device",
    "LRA": "LoRA and PEFT",
    "LRN": "learning",
    "VER": "library versions",
    "MEM": "memory",
    "SAV": "save and load",
    "SEC": "security",
}


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """One defect: its code (which stays forever), its consequence, how it is known, and the facts it needs.

    `module` is the declaring module's `__name__`; the diagnosis is called as that module is.
    `contract` states what holds when the defect is absent; it is the name of the test item.
    `needs` are dotted paths into `Facts`; while one is Unknown the contract is Skipped with that reason.
    `explains` are names of diagnoses that are mere consequences while this one is found.
    `where` says in which setups the contract means anything, for a module that has `applies`; empty where it always does.
    `keys` are dotted keys of the YAML file where the defect can be mended or shown, the likeliest first.
    `entries` are the entries of the batch it is about, by name or by role: a finding without a place of its own is shown at
    the statements of the user's collator that make them.
    `law` is the law of every healthy run that it states (harness/judging/laws.py); None where it names one defect.
    """

    module: str
    code: str
    severity: Severity
    basis: Basis
    contract: str
    needs: tuple[str, ...]
    explains: tuple[str, ...] = ()
    where: str = ""
    keys: tuple[str, ...] = ()
    entries: tuple[str, ...] = ()
    law: LawName | None = None

    @property
    def name(self) -> str:
        """The defect's name, as in "waive X"."""
        return self.module.rpartition(".")[2]

    @property
    def family(self) -> str:
        """The three letters in front of the code."""
        return self.code[:3]

    def finding(
        self,
        summary: str,
        *,
        fix: str,
        snippet: str = "",
        evidence: tuple[str, ...] = (),
        severity: Severity | None = None,
        places: tuple[Site, ...] = (),
        keys: tuple[str, ...] = (),
        owners: tuple[str, ...] = (),
    ) -> Finding:
        """A finding of this diagnosis; `severity` only where the facts make it better or worse than usual.

        `places` are the lines of source behind it, `keys` the YAML keys where the diagnosis' own are too general,
        `owners` the diagnoses that own the cause where they find it too.
        """
        return Finding(
            code=self.code,
            name=self.name,
            severity=severity or self.severity,
            basis=self.basis,
            summary=summary,
            evidence=evidence,
            fix=Fix(instruction=fix, snippet=snippet),
            docs=f"docs/diagnoses.md#{self.code.lower()}",
            places=places,
            keys=keys or self.keys,
            owners=owners,
        )


class DiagnosisModule(Protocol):
    """What a file in `harness/diagnoses/` offers; `Hooks` names what it may offer besides."""

    __name__: str
    __doc__: str | None
    DIAGNOSIS: Diagnosis

    def examine(self, facts: Facts) -> Iterator[Finding]:
        """Yield one finding per root cause; called only when every fact in `needs` is known."""


class Hooks(NamedTuple):
    """The functions that a diagnosis may define besides `examine`, each called with the facts.

    `applies` is False where the contract makes no sense for this model at all (it has no placement mask, no run was asked
    for, ...): the outcome is NotApplicable, with the header's `where`. `excuse` is the reason why nothing can be said
    although every needed fact is known (no page was recognised, the weights are random, ...): the contract is Skipped;
    empty where there is no such reason.
    """

    applies: Callable[[Facts], bool] = lambda _: True
    excuse: Callable[[Facts], str] = lambda _: ""


_RETURNS = {"examine": "Iterator[Finding]", "applies": "bool", "excuse": "str"}


def read_hooks(module: DiagnosisModule) -> Hooks:
    """The hooks that a diagnosis defines, and what stands in for the others."""
    return Hooks(**{name: vars(module)[name] for name in Hooks._fields if name in vars(module)})


def check_module(module: ModuleType) -> DiagnosisModule:
    """The module, which has `DIAGNOSIS` and `examine` and no public function but the hooks, each with its signature.

    Raises TypeError: a misspelt hook would never be called, and its contract would be judged without it.
    """
    functions = {name: value for name, value in vars(module).items() if isinstance(value, FunctionType)}
    own = {name: value for name, value in functions.items() if value.__module__ == module.__name__}
    for name, value in own.items():
        if name.startswith("_"):
            continue
        near = difflib.get_close_matches(name, _RETURNS, n=1)
        if name not in _RETURNS:
            meant = f"; `{near[0]}` may be meant" if near else ""
            raise TypeError(f"{module.__name__}: `{name}` is no hook of a diagnosis ({', '.join(_RETURNS)}){meant}")
        expected = {"facts": "Facts", "return": _RETURNS[name]}
        if value.__annotations__ != expected:
            raise TypeError(f"{module.__name__}: expected `def {name}(facts: Facts) -> {_RETURNS[name]}`")
    if not isinstance(getattr(module, "DIAGNOSIS", None), Diagnosis) or "examine" not in own:
        raise TypeError(f"{module.__name__}: a diagnosis needs `DIAGNOSIS = Diagnosis(...)` and `examine`")
    return cast(DiagnosisModule, module)
