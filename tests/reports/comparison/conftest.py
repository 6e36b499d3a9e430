"""Documents written by hand: contracts with an ending each, and findings for those that are broken."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from preflight_ocr.reports.json_writer import Document, FindingEntry, FixEntry, OutcomeEntry


@pytest.fixture
def write_finding() -> Callable[..., FindingEntry]:
    """`write_finding("COL001-broadcast_mask", severity, summary, keys)`"""

    def make(
        identity: str, severity: str = "BLOCKER", summary: str = "seen 1, expected 19", keys: tuple[str, ...] = ()
    ) -> FindingEntry:
        code, _, name = identity.partition("-")
        return FindingEntry(
            code=code, name=name, severity=severity, basis="ran", summary=summary, evidence=("row 0",),
            fix=FixEntry(instruction="Mend it.", snippet="x = 1"), docs=f"docs/diagnoses.md#{code.lower()}",
            keys=keys,
        )  # fmt: skip

    return make


@pytest.fixture
def write_document() -> Callable[..., Document]:
    """`write_document({"COL001-a": "kept", ...}, findings, reasons={id: reason}, **environment)`"""

    def make(endings, *findings, reasons=None, digest="d", **environment) -> Document:
        return Document(
            schema_version=2,
            verdict="refused" if findings else "clear",
            headline="",
            why="",
            exit_code=12 if findings else 0,
            findings=findings,
            outcomes=tuple(
                OutcomeEntry(id=identity, outcome=ending, reason=(reasons or {}).get(identity, ""), seconds=0.0)
                for identity, ending in endings.items()
            ),
            open=(),
            waiver_problems=(),
            facts_digest=digest,
            environment=environment,
            timings={},
        )

    return make
