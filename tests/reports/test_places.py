from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from preflight_ocr.harness.facts import Site
from preflight_ocr.reports.places import find_project, locate, name_config


@pytest.fixture
def place(make_report, tmp_path, monkeypatch):
    """`place(config, folders)` -> a report whose YAML file lies there."""
    monkeypatch.chdir(tmp_path)

    def make(config: str, *folders: str, **changes):
        path = tmp_path / config
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("model:\n", encoding="utf-8")
        report = make_report(())
        return msgspec.structs.replace(
            report, config=str(path), folders=tuple(tmp_path / folder for folder in folders), **changes
        )

    return make


def test_the_project_is_the_repository_around_the_yaml_file(place, tmp_path):
    (tmp_path / "repository" / ".git").mkdir(parents=True)
    report = place("repository/setup/run.yaml")
    assert find_project(report) == tmp_path / "repository"
    assert name_config(report) == "setup/run.yaml"


def test_without_a_repository_it_is_the_working_directory_or_the_files_own(place, tmp_path, monkeypatch):
    report = place("setup/run.yaml")
    assert find_project(report) == tmp_path
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert find_project(report) == tmp_path / "setup"


def test_the_users_file_is_found_before_one_of_the_models_of_the_same_name(place, find_fault, tmp_path):
    for folder in ("parts", "model"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "code.py").write_text("", encoding="utf-8")
    report = place("run.yaml", "parts", "model")
    fault = msgspec.structs.replace(
        find_fault("COL001", "a"), places=(Site(file="code.py", line=2, code="x", kind="", runs=None),)
    )
    assert [spot.path for spot in locate(fault, report)] == ["parts/code.py"]


def test_parts_outside_the_project_are_named_after_the_yaml_file(place, find_fault, tmp_path):
    (tmp_path / "repository" / ".git").mkdir(parents=True)
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "collate.py").write_text("", encoding="utf-8")
    report = place("repository/run.yaml", "parts", lines={"model.base_model": 3})
    fault = msgspec.structs.replace(
        find_fault("COL001", "a"), places=(Site(file="collate.py", line=2, code="x", kind="", runs=None),)
    )
    spots = locate(fault, report)
    assert [(spot.root, spot.path, spot.line) for spot in spots] == [
        ("project", "run.yaml", 3),
        ("parts", "collate.py", 2),
    ]


def test_a_place_is_told_once_however_often_it_was_seen(place, find_fault):
    site = Site(file="modeling.py", line=2, code="x", kind="", runs=None)
    fault = msgspec.structs.replace(find_fault("COL001", "a"), places=(site, site))
    assert len(locate(fault, place("run.yaml"))) == 2


def test_a_name_with_signs_of_its_own_is_escaped_in_the_uri_and_whole_in_the_path(place, find_fault, tmp_path):
    report = place("a b#c/run ä.yaml")
    (spot,) = locate(find_fault("COL001", "a"), report)
    assert spot.path == "a b#c/run ä.yaml"
    assert spot.uri == "a%20b%23c/run%20%C3%A4.yaml"
    assert Path(tmp_path / spot.path).is_file()
