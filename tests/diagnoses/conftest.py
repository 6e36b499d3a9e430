"""How a test asks one diagnosis about one specimen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from preflight_ocr.harness.config.config import build_config
from preflight_ocr.harness.config.schema import Config
from preflight_ocr.harness.facts import Facts
from preflight_ocr.harness.judging.findings import Broken, Finding, Kept, NotApplicable, Outcome
from preflight_ocr.harness.verdict.contracts import derive, judge


@pytest.fixture
def findings_of() -> Callable[[str, Facts], tuple[Finding, ...]]:
    """(name, facts) -> its findings; none also where the contract does not apply. Fails where it was skipped."""

    def find(name: str, facts: Facts) -> tuple[Finding, ...]:
        for contract in derive(facts, only=[name]):
            outcome = judge(contract, facts)
            assert isinstance(outcome, Broken | Kept | NotApplicable), outcome
            return outcome.findings if isinstance(outcome, Broken) else ()
        return ()

    return find


@pytest.fixture
def outcome_of() -> Callable[[str, Facts], Outcome]:
    """(name, facts) -> the outcome of its contract."""

    def ask(name: str, facts: Facts) -> Outcome:
        [contract] = derive(facts, only=[name])
        return judge(contract, facts)

    return ask


@pytest.fixture
def write_data(tmp_path: Path) -> Callable[[str], Config]:
    """(text of metadata.json) -> a configuration whose rows it holds, beside one page."""

    def write(text: str) -> Config:
        folder = tmp_path / "train"
        folder.mkdir()
        (folder / "metadata.json").write_text(text, encoding="utf-8")
        Image.new("RGB", (8, 8)).save(folder / "a.png")
        document = {"model": {"base_model": "model"}, "data": {"train_path": str(folder)}}
        return build_config(document, source=tmp_path / "run.yaml")

    return write
