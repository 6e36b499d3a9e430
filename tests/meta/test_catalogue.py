"""What every diagnosis in the catalogue must come with, so that none can be half finished."""

from __future__ import annotations

import importlib
import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import get_args, get_type_hints

import msgspec
import pytest

from preflight_ocr.harness.diagnoses import NAMES, catalogue, find
from preflight_ocr.harness.diagnoses import __file__ as catalogue_file
from preflight_ocr.harness.facts import Facts, Unknown
from preflight_ocr.harness.judging.findings import Broken, Crashed, NotApplicable, Skipped
from preflight_ocr.harness.judging.header import FAMILIES, DiagnosisModule, check_module
from preflight_ocr.harness.verdict.contracts import derive, judge_all, root_causes
from tests.specimens import altered
from tests.specimens.healthy import HEALTHY

HEADINGS = ("What it does", "Why it matters", "Example", "Use instead", "References")
EVERY = pytest.mark.parametrize("module", catalogue(), ids=lambda module: module.DIAGNOSIS.name)


def _specimen(module: DiagnosisModule) -> ModuleType:
    return importlib.import_module(f"tests.specimens.{module.DIAGNOSIS.name}")


def _codes(facts: Facts) -> list[str]:
    judgements = judge_all(derive(facts), facts)
    crashed = {j.contract.id: j.outcome.error for j in judgements if isinstance(j.outcome, Crashed)}
    assert not crashed
    return [finding.code for finding in root_causes(judgements)]


def _fields(annotation: object) -> dict[str, object]:
    """The fields that a fact of this annotated type may have, over all alternatives of a union."""
    structs = [kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type)]
    structs = [
        kind for kind in structs if issubclass(kind, msgspec.Struct) and kind.__name__ not in ("Unknown", "Raised")
    ]
    return {name: hint for kind in structs for name, hint in get_type_hints(kind).items()}


def test_the_catalogue_lists_every_file_and_codes_and_names_are_unique() -> None:
    headers = [module.DIAGNOSIS for module in catalogue()]
    files = {path.stem for path in Path(catalogue_file).parent.glob("*.py")} - {"__init__"}
    assert sorted(NAMES) == sorted(files)
    assert len(headers) == len(files)
    assert len({header.code for header in headers}) == len(headers)
    assert len({header.name for header in headers}) == len(headers)


def test_the_healthy_specimen_survives_json() -> None:
    assert Facts.from_json(HEALTHY.to_json()) == HEALTHY


@EVERY
def test_a_diagnosis_has_a_well_formed_code_of_a_known_family(module: DiagnosisModule) -> None:
    header = module.DIAGNOSIS
    assert re.fullmatch(r"[A-Z]{3}\d{3}", header.code)
    assert header.family in FAMILIES
    assert header.module == module.__name__
    assert find(header.code) is module


@EVERY
def test_a_diagnosis_explains_itself_under_every_heading(module: DiagnosisModule) -> None:
    parts = re.split(r"^## (.+)$", module.__doc__ or "", flags=re.MULTILINE)
    assert parts[0].strip(), "the docstring begins with one sentence"
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert tuple(sections) == HEADINGS
    assert all(text.strip() for text in sections.values())


@EVERY
def test_a_diagnosis_needs_only_facts_that_exist(module: DiagnosisModule) -> None:
    for path in module.DIAGNOSIS.needs:
        here: object = Facts
        for step in path.split("."):
            fields = _fields(here)
            assert step in fields, f"{path}: there is no {step!r}"
            here = fields[step]


@EVERY
def test_a_diagnosis_explains_only_diagnoses_that_exist(module: DiagnosisModule) -> None:
    names = {other.DIAGNOSIS.name for other in catalogue()}
    assert set(module.DIAGNOSIS.explains) <= names - {module.DIAGNOSIS.name}


@EVERY
def test_a_diagnosis_has_a_test_of_its_own_name(module: DiagnosisModule) -> None:
    assert Path(__file__).parents[1].joinpath("diagnoses", f"test_{module.DIAGNOSIS.name}.py").is_file()


@EVERY
def test_the_sick_specimen_has_exactly_this_root_cause(module: DiagnosisModule) -> None:
    assert _codes(_specimen(module).SICK) == [module.DIAGNOSIS.code]


@EVERY
def test_the_healthy_specimen_has_no_finding_at_all(module: DiagnosisModule) -> None:
    assert _codes(_specimen(module).HEALTHY) == []


@EVERY
def test_specimens_survive_json(module: DiagnosisModule) -> None:
    for specimen in (_specimen(module).HEALTHY, _specimen(module).SICK):
        assert Facts.from_json(specimen.to_json()) == specimen


@EVERY
def test_every_finding_says_what_to_type_next(module: DiagnosisModule) -> None:
    facts = _specimen(module).SICK
    for judgement in judge_all(derive(facts, only=[module.DIAGNOSIS.code]), facts):
        assert isinstance(judgement.outcome, Broken)
        for finding in judgement.outcome.findings:
            assert finding.summary.endswith(".") and finding.fix.instruction.endswith(".")
            assert len(finding.evidence) <= 12


@EVERY
def test_a_fact_that_is_needed_and_was_lost_is_skipped_with_its_reason_not_passed(module: DiagnosisModule) -> None:
    """Each fact by itself, and the whole section that it stands in."""
    needs = module.DIAGNOSIS.needs
    for path in dict.fromkeys((*(need.partition(".")[0] for need in needs), *needs)):
        try:
            facts = altered(_specimen(module).SICK, {path: Unknown(reason="lost on the way")})
        except msgspec.ValidationError:  # a fact that is never lost by itself
            assert "." in path
            continue
        outcomes = [j.outcome for j in judge_all(derive(facts, only=[module.DIAGNOSIS.code]), facts)]
        assert len(outcomes) == 1 and isinstance(outcomes[0], Skipped | NotApplicable)
        assert isinstance(outcomes[0], NotApplicable) or outcomes[0].reason == "lost on the way"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def aplies(facts: Facts) -> bool: ...", "`applies` may be meant"),
        ("def exuse(facts: Facts) -> str: ...", "`excuse` may be meant"),
        ("def look_around(facts: Facts) -> str: ...", "is no hook of a diagnosis"),
        ("def applies(facts: Facts, level: str) -> bool: ...", "expected `def applies"),
        ("def excuse(facts: Facts) -> bool: ...", "expected `def excuse"),
        ("", "needs `DIAGNOSIS"),
    ],
)
def test_a_misspelt_hook_of_a_diagnosis_is_refused(source: str, said: str) -> None:
    module = ModuleType("planted")
    exec(f"from __future__ import annotations\n{source}", vars(module))
    with pytest.raises(TypeError, match=re.escape(said)):
        check_module(module)


def test_every_specimen_belongs_to_a_diagnosis() -> None:
    specimens = {path.stem for path in Path(altered.__code__.co_filename).parent.glob("*.py")}
    assert specimens - {"__init__", "healthy"} <= {module.DIAGNOSIS.name for module in catalogue()}
