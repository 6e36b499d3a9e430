"""A model that nobody has declared: one family's declaration is hidden, and its faults are found by the generic probes.

The model's own code and weights stay as they are; it only calls itself by a name that no family knows. So there is no
collator of ours to compare with: the user brings one, and what only such a comparison can tell is skipped with a reason.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from preflight_ocr.fixtures.corpus import find_faults
from preflight_ocr.fixtures.corpus.models import MODELS, find_model_obstacle
from preflight_ocr.fixtures.corpus.plant import SOURCE, find_obstacle, write_project
from preflight_ocr.harness.check.check import check
from preflight_ocr.harness.config.config import build_config, load_config
from preflight_ocr.harness.isolation import Sandbox
from preflight_ocr.harness.judging.findings import Basis, Broken, Crashed, Kept, Skipped
from preflight_ocr.harness.verdict.report import Report

DECLARED, UNDECLARED = "dots_ocr", "page_reader"
NO_REFERENCE = "no family declares this model, so there is no reference batch"
YARDSTICK = {
    "foreign_normalisation", "image_dtype_mismatch", "malformed_images", "mismatched_prompt", "missing_required_input",
    "squashed_page", "truncated_image_tokens", "unplanned_view",
}  # fmt: skip
"""Contracts that are told only by comparing with what our own collator makes of the same rows."""

UNASKED = {"malformed_grid"}
"""Contracts about an argument whose role nobody has told, so that they are not even asked."""

FAULTS = {fault.id: fault for fault in find_faults()}
GENERIC = {
    "chain-16": (
        "copied_labels",
        r"^Every token of all 3 rows is trained on: \d+ labels, of which \d+ belong to the target",
    ),
    "dots-02": (
        "failing_forward",
        r"RuntimeError: shape '\[0, 2, 294, 2\]' is invalid for input of size 588 \(at modeling_dots_vision\.py:\d+: .+\)",
    ),
    "dots-03": ("missing_placeholders", r"3 of 3 rows have an image and no `<\|imgpad\|>`.*expected at least 1"),
    "dots-04": ("placeholder_mismatch", r"features landed on \d+ of \d+ placeholders"),
    "dots-05": (
        "swallowed_key",
        r"takes `pixel_value` \(meant: `pixel_values`\) through \*\*loss_kwargs and does nothing",
    ),
    "dots-06": ("fixed_vision_dtype", r"computes with bfloat16, which neither the batch nor any of its weights has"),
    "web-04": ("nothing_supervised", r"3 of 3 rows have no label but -100"),
    "web-05": ("unmasked_image_tokens", r"3 of 3 rows are trained on image tokens"),
    "web-12": ("unmatched_targets", r"No entry of target_modules hits a module"),
}
"""Fault -> what it is found as where nobody knows the model, and how that is said."""

FAST = ("chain-16", "dots-03", "web-12")
"""One of the collator, one of its image tokens, one of the adapter: the tests of the others are slow."""

OWN_COLLATOR = f'''

def build_own_collator(config, model, loaded):
    """The user's own work: it does what the declared family would."""
    from preflight_ocr.harness.families import FAMILIES
    from preflight_ocr.harness.training.collate import build_collator
    from preflight_ocr.harness.training.model import find_image_dtype

    return build_collator(
        config, family=FAMILIES["{DECLARED}"], tokenizer=loaded.tokenizer, processor=loaded.processor,
        image_dtype=find_image_dtype(model), directory=config.model.directory,
    )
'''


def write_hidden_project(directory: Path, faults: Sequence[str]) -> Path:
    """The corpus's project with these faults, in which the model calls itself by a name that nobody declared."""
    path = write_project(directory, faults, model=DECLARED)
    model = directory / "model"
    if not model.exists():
        shutil.copytree(MODELS / DECLARED, model, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("config.json", "configuration_dots.py"):
        text = (model / name).read_text(encoding="utf-8")
        assert f'"{DECLARED}"' in text
        (model / name).write_text(text.replace(f'"{DECLARED}"', f'"{UNDECLARED}"'), encoding="utf-8")
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    document["model"]["base_model"] = str(model)
    document["subject"] = {"model": "planted:model", "collator": "planted:collator", **document.get("subject", {})}
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    parts = directory / "planted.py"
    source = parts.read_text(encoding="utf-8") if parts.exists() else SOURCE.format(ids=tuple(faults), mends=False)
    ours = "import build_own_collator, build_trainer"
    assert ours in source
    parts.write_text(source.replace(ours, "import build_trainer") + OWN_COLLATOR, encoding="utf-8")
    return path


def check_hidden(directory: Path, faults: Sequence[str], sandbox: Sandbox) -> Report:
    if obstacle := find_model_obstacle(DECLARED) or next(
        filter(None, (find_obstacle(FAULTS[f]) for f in faults)), None
    ):
        pytest.skip(obstacle)
    report = check(load_config(write_hidden_project(directory, faults)), trust=True, sandbox=sandbox)
    assert report.facts.collator.reference.reason == NO_REFERENCE
    return report


def name_outcomes(report: Report, *kinds: type) -> dict[str, object]:
    return {j.contract.diagnosis.name: j.outcome for j in report.judgements if isinstance(j.outcome, kinds)}


def test_a_healthy_project_has_no_finding_and_what_was_not_judged_is_skipped_with_its_reason(tmp_path, sandbox):
    hidden = check_hidden(tmp_path / "hidden", (), sandbox)
    assert hidden.findings == ()
    assert not name_outcomes(hidden, Broken, Crashed)
    skipped = {name: outcome.reason for name, outcome in name_outcomes(hidden, Skipped).items()}
    assert all(skipped.values())
    assert {name for name in YARDSTICK if skipped.get(name) == NO_REFERENCE} == YARDSTICK
    # With its declaration back, the same model is judged on each of them: hiding it costs nothing else.
    declared = check(load_config(write_project(tmp_path / "declared", (), model=DECLARED)), trust=True, sandbox=sandbox)
    kept = set(name_outcomes(declared, Kept))
    assert kept >= YARDSTICK
    lost = kept - set(name_outcomes(hidden, Kept))
    assert lost - set(skipped) == UNASKED
    assert {name: skipped[name] for name in lost - UNASKED if not skipped[name].startswith(NO_REFERENCE)} == {}


@pytest.mark.parametrize("fault", [pytest.param(f, marks=() if f in FAST else pytest.mark.slow) for f in GENERIC])
def test_a_fault_is_found_by_its_root_cause_in_words_that_know_no_family(fault, tmp_path, sandbox):
    name, words = GENERIC[fault]
    report = check_hidden(tmp_path, (fault,), sandbox)
    assert [finding.name for finding in report.findings] == [name]
    finding = report.findings[0]
    assert finding.basis is Basis.RAN
    said = " ".join([finding.summary, *finding.evidence])
    assert re.search(words, said), said
    assert "dots.ocr" not in said and DECLARED not in said
    kept = name_outcomes(report, Kept)
    assert not YARDSTICK & set(kept)


def test_two_faults_of_an_undeclared_model_are_two_root_causes(tmp_path, sandbox):
    report = check_hidden(tmp_path, ("dots-05", "web-12"), sandbox)
    assert sorted(finding.name for finding in report.findings) == ["swallowed_key", "unmatched_targets"]


def read_directory(directory: Path) -> Report:
    """What reading alone says about a folder, as `preflight check --level read` would."""
    section = {"base_model": str(directory), "trust_remote_code": True}
    report = check(build_config({"model": section}, source=directory), level="read", trust=True)
    assert not name_outcomes(report, Crashed)
    assert all(outcome.reason for outcome in name_outcomes(report, Skipped).values())
    assert not YARDSTICK & set(name_outcomes(report, Kept))
    return report


def copy_json(source: Path, target: Path) -> Path:
    """A folder with a model's JSON files and nothing else: neither code nor weights."""
    target.mkdir()
    for path in source.glob("*.json"):
        shutil.copy(path, target)
    return target


def test_a_folder_with_nothing_but_a_configuration_of_an_unknown_model_is_read(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": UNDECLARED}), encoding="utf-8")
    report = read_directory(tmp_path)
    assert report.facts.repository.model_type == UNDECLARED
    skipped = name_outcomes(report, Skipped)
    assert "tokenizer_config.json" in skipped["split_image_token"].reason
    assert "--level read" in skipped["failing_forward"].reason


@pytest.mark.parametrize("model", ["deepseek_ocr", DECLARED])
def test_a_folder_of_json_files_alone_is_read(model, tmp_path):
    report = read_directory(copy_json(MODELS / model, tmp_path / "model"))
    assert report.facts.repository.model_type == json.loads((MODELS / model / "config.json").read_bytes())["model_type"]
    # The tokenizer's files are there, so what they tell was judged.
    assert {"split_image_token", "token_id_out_of_range"} <= set(name_outcomes(report, Kept, Broken))


@pytest.mark.parametrize("model", ["deepseek_ocr", DECLARED])
def test_code_that_is_not_there_is_not_passed_as_read(model, tmp_path):
    kept = name_outcomes(read_directory(copy_json(MODELS / model, tmp_path / "model")), Kept)
    assert not {"missing_symbol", "missing_requirement", "suspicious_code", "hard_coded_device"} & set(kept)
