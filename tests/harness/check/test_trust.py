"""Who may run what: asked before anything foreign is imported."""

from __future__ import annotations

import json

import pytest

from preflight_ocr.harness.check.trust import NO_TRUST, find_refusal, is_foreign
from preflight_ocr.harness.config.config import build_config
from preflight_ocr.harness.facts import Unknown

CODE = {"auto_map": {"AutoModel": "modeling_page.PageModel"}}


@pytest.fixture
def make(tmp_path):
    def build(*, remote=False, **subject):
        (tmp_path / "config.json").write_text(json.dumps(CODE if remote else {"model_type": "llava"}), "utf-8")
        (tmp_path / "modeling_page.py").write_text("raise SystemExit('imported')\n", "utf-8")
        (tmp_path / "project.yaml").touch()
        content = {"model": {"base_model": str(tmp_path)}, "subject": subject}
        return build_config(content, source=tmp_path / "project.yaml")

    return build


def test_a_model_without_code_and_without_the_users_parts_needs_no_trust(make):
    assert find_refusal(make(), trust=False) == ""


def test_the_repositorys_code_needs_trust_and_is_not_imported_to_find_out(make):
    assert find_refusal(make(remote=True), trust=False) == NO_TRUST
    assert find_refusal(make(remote=True), trust=True) == ""


@pytest.mark.parametrize("part", ["model", "collator", "peft", "trainer"])
def test_each_part_of_the_users_needs_trust(make, part):
    config = make(**{part: "parts:build"})
    assert find_refusal(config, trust=False) == NO_TRUST
    assert is_foreign(config, Unknown(reason="not read"))


def test_parts_that_are_not_used_are_not_asked_for(make):
    assert find_refusal(make(trainer="parts:build"), trust=False, parts=("model", "collator")) == ""


def test_a_model_that_cannot_be_found_is_refused_with_its_reason(tmp_path):
    config = build_config({"model": {"base_model": str(tmp_path / "nowhere")}}, source=tmp_path)
    assert "nowhere" in find_refusal(config, trust=False)
