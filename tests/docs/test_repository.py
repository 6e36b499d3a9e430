"""What a stranger's repository has, and that its parts agree with each other."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import yaml

from tests.support.places import ROOT


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def read_yaml(name: str) -> Any:
    return yaml.safe_load(read(name))


def test_the_readme_is_short_and_its_picture_small():
    assert (ROOT / "README.md").stat().st_size <= 8 * 1024
    for picture in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", read("README.md")):
        assert (ROOT / picture).stat().st_size <= 200 * 1024


def test_the_license_is_the_whole_apache_license():
    text = read("LICENSE")
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert "APPENDIX: How to apply the Apache License to your work." in text
    assert read_yaml("CITATION.cff")["license"] == "Apache-2.0"


def test_changelog_has_a_place_for_what_comes_and_the_release_that_is_cited():
    headings = re.findall(r"^## (.+)$", read("CHANGELOG.md"), re.MULTILINE)
    assert headings[0] == "Next"
    assert read_yaml("CITATION.cff")["version"] in headings


def test_contributors_lint_with_the_version_that_ci_has():
    pinned = re.search(r"^ruff==(.+)$", read("constraints.txt"), re.MULTILINE)
    assert pinned is not None
    hooks = read_yaml(".pre-commit-config.yaml")["repos"][0]["hooks"]
    wanted = {one for hook in hooks for one in hook.get("additional_dependencies", ())}
    assert wanted == {f"ruff=={pinned[1]}"}


def test_ci_runs_lint_types_tests_and_documentation_on_every_system():
    jobs = read_yaml(".github/workflows/ci.yml")["jobs"]
    assert set(jobs) == {"lint", "types", "tests", "docs"}
    matrix = jobs["tests"]["strategy"]["matrix"]
    assert {name.partition("-")[0] for name in matrix["os"]} == {"ubuntu", "windows", "macos"}
    oldest = tomllib.loads(read("pyproject.toml"))["project"]["requires-python"].removeprefix(">=")
    assert matrix["python"][0] == oldest
    commands = " ".join(step.get("run", "") for job in jobs.values() for step in job["steps"])
    for command in ("ruff check .", "ruff format --check .", "mypy", "pytest", "zensical build --strict"):
        assert command in commands


def test_the_site_is_built_by_what_the_docs_extra_installs():
    extra = tomllib.loads(read("pyproject.toml"))["project"]["optional-dependencies"]["docs"]
    assert [name for name in extra if name.startswith("zensical")]
    assert re.search(r"^zensical==", read("constraints.txt"), re.MULTILINE)
    assert "zensical build --strict" in read("tox.ini")


def test_the_hook_and_the_action_call_commands_and_options_that_exist():
    from preflight_ocr.harness.cli import preflight

    (hook,) = read_yaml(".pre-commit-hooks.yaml")
    program, command = hook["entry"].split()
    assert program == "preflight" and command in preflight.commands
    (script,) = (step["run"] for step in read_yaml("action.yml")["runs"]["steps"] if "preflight check" in step["run"])
    known = {option for parameter in preflight.commands["check"].params for option in parameter.opts}
    assert {word for word in script.split() if word.startswith("--")} <= known
