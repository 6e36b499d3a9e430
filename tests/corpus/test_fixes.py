"""The printed fix, applied as it is printed: the finding is gone and no other came."""

from __future__ import annotations

import pytest

from preflight_ocr.fixtures.corpus import find_faults, find_patterns
from preflight_ocr.fixtures.corpus.cases import find_cases, find_pattern_cases
from preflight_ocr.fixtures.corpus.plant import choose_level, write_project
from preflight_ocr.fixtures.corpus.upstream import find_upstream_faults
from preflight_ocr.harness.check.check import check
from preflight_ocr.harness.config.config import load_config
from tests.support.fixes import apply_fixes, find_room, read_yaml

FAULTS = {fault.id: fault for fault in (*find_faults(), *find_patterns())}
CASES = {}
for case in (*find_cases(), *find_pattern_cases()):
    if case.obstacle is None and case.expects:
        CASES.setdefault(case.fault, case)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES.values(), ids=lambda case: f"{case.fault}-{case.model}")
def test_a_fix_applied_as_printed_ends_the_finding_and_brings_no_other(case, tmp_path, sandbox):
    project = write_project(tmp_path, [case.fault], model=case.model)
    level = choose_level([FAULTS[case.fault]])
    before = check(load_config(project), level=level, trust=True, sandbox=sandbox).findings
    mended = apply_fixes(project, before)
    if not mended:
        pytest.skip(f"the fix is a text: {[found.fix.instruction for found in before]}")
    after = check(load_config(project), level=level, trust=True, sandbox=sandbox).findings
    left = {found.name for found in after} - set(find_upstream_faults(case.model))
    assert left <= {found.name for found in before} - set(mended), [(f.name, f.summary, f.evidence) for f in after]


def test_a_snippet_is_applied_where_it_says_by_itself_where_it_belongs():
    assert read_yaml("training:\n  bf16: true") == {"training": {"bf16": True}}
    assert read_yaml("model:\n  revision: THE_FULL_40_DIGIT_COMMIT_HASH") is None
    assert read_yaml('batch["a"] = 1') is None
    assert find_room("labels[attention_mask == 0] = -100") == {"batch"}
    assert find_room("labels[row, :target_start] = -100") == frozenset()
    assert find_room("model.generation_config.min_length = 0") == {"model"}
    assert find_room('batch["mask"] = ...') == frozenset()
    assert find_room("images = [(a.to(model.dtype), b) for a, b in images]") == {"batch"}
