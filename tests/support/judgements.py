"""Hand-made reports: diagnoses that exist only here, so that a writer's test never hangs on the catalogue."""

from __future__ import annotations

import datetime
import types
from collections.abc import Callable
from typing import Any

import pytest

from preflight_ocr.harness.diagnoses import catalogue
from preflight_ocr.harness.facts import Facts
from preflight_ocr.harness.judging.findings import (
    Basis,
    Broken,
    Crashed,
    Finding,
    Fix,
    Kept,
    Level,
    Outcome,
    Severity,
    Skipped,
)
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.verdict.contracts import Contract, Judgement
from preflight_ocr.harness.verdict.decision import ESSENTIAL
from preflight_ocr.harness.verdict.report import Report
from tests.specimens import HEALTHY

Judge = Callable[..., Judgement]


@pytest.fixture
def judge() -> Judge:
    """`judge("COL001", "broadcast_mask", outcome)` -> Judgement."""

    def make(code: str, name: str, outcome: Outcome, severity: Severity = Severity.BLOCKER) -> Judgement:
        module: Any = types.ModuleType(f"preflight_ocr.harness.diagnoses.{name}")
        module.DIAGNOSIS = Diagnosis(
            module=module.__name__,
            code=code,
            severity=severity,
            basis=Basis.RAN,
            contract=f"there is no {name}",
            needs=(),
        )
        return Judgement(contract=Contract(module), outcome=outcome, seconds=0.001)

    return make


@pytest.fixture
def find_fault() -> Callable[..., Finding]:
    """`find_fault("COL001", "broadcast_mask", severity, summary=...)` -> Finding."""

    def make(
        code: str,
        name: str,
        severity: Severity = Severity.BLOCKER,
        *,
        summary: str = "seen 1, expected 19",
        evidence: tuple[str, ...] = ("row 0: 1 entry for 19 tokens",),
        fix: str = "Build one entry per token.",
        snippet: str = "mask = input_ids == image_token_id",
    ) -> Finding:
        return Finding(
            code=code,
            name=name,
            severity=severity,
            basis=Basis.RAN,
            summary=summary,
            evidence=evidence,
            fix=Fix(instruction=fix, snippet=snippet),
            docs=f"docs/diagnoses.md#{code.lower()}",
        )

    return make


@pytest.fixture
def judgements(judge: Judge, find_fault: Callable[..., Finding]) -> tuple[Judgement, ...]:
    """One contract of every ending: kept, a root cause, its consequence, skipped twice for one reason, crashed."""
    blocker = find_fault("COL001", "broadcast_mask")
    consequence = find_fault("COL004", "shifted_mask")
    major = find_fault("LBL002", "unmasked_prompt", Severity.MAJOR, summary="the prompt is trained on")
    return (
        judge("CFG001", "unknown_key", Kept(), Severity.MAJOR),
        judge("COL001", "broadcast_mask", Broken((blocker,))),
        judge("COL004", "shifted_mask", Broken((consequence,), ("COL001",))),
        judge("DEV001", "hard_coded_device", Skipped("no accelerator here"), Severity.MAJOR),
        judge("ENV001", "missing_kernels", Skipped("no accelerator here")),
        judge("LBL002", "unmasked_prompt", Broken((major,)), Severity.MAJOR),
        judge("MEM001", "memory_over_budget", Crashed("ValueError: no such part")),
    )


@pytest.fixture
def essentials(judge: Judge) -> tuple[Judgement, ...]:
    """What has to be looked at before anything is clear, all kept."""
    named = {module.DIAGNOSIS.name: module.DIAGNOSIS.code for module in catalogue()}
    return tuple(judge(named[name], name, Kept()) for name in ESSENTIAL["ran"])


@pytest.fixture
def make_report() -> Callable[..., Report]:
    """`make_report(judgements, facts=..., waivers=...)` -> Report, as of 2030-01-15."""

    def make(
        judgements: tuple[Judgement, ...],
        *,
        facts: Facts = HEALTHY,
        waivers: tuple[Any, ...] = (),
        level: Level = "ran",
    ) -> Report:
        return Report.build(
            facts,
            judgements,
            config="preflight.yaml",
            level=level,
            timings={"read": 0.25, "ran": 4.5},
            waivers=waivers,
            today=datetime.date(2030, 1, 15),
        )

    return make


@pytest.fixture
def report(make_report: Callable[..., Report], judgements: tuple[Judgement, ...]) -> Report:
    return make_report(judgements)
