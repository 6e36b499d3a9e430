"""What is taken over from the last check is what would be seen again: nothing else that a child reads may differ."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from preflight_ocr.fixtures.corpus.plant import write_project
from preflight_ocr.harness.check import recall as recalling
from preflight_ocr.harness.check.asked import Asked
from preflight_ocr.harness.check.check import check
from preflight_ocr.harness.check.children import CHILDREN, Answers
from preflight_ocr.harness.check.recall import Recall, open_recall
from preflight_ocr.harness.config.config import load_config
from preflight_ocr.harness.facts import Unknown
from preflight_ocr.harness.state import find_cache_directory

ASKED = Asked(trust=True, keeps=True, reuses=True)
ALL = {"learning", "forward", "collator", "processor"}
TRAINED = {"learning"}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return write_project(tmp_path / "project", [])


def look(project: Path, asked: Asked = ASKED) -> Recall:
    found = open_recall(load_config(project), asked)
    assert found is not None
    return found


def keep(project: Path, *, asked: Asked = ASKED, opened: tuple[Path, ...] = (), **values: Any) -> None:
    """As after a check in which every child answered, having opened these files."""
    given = {name: {"of": name} for name in (*ALL, "reload")} | values
    touched = {child.name: frozenset(map(str, opened)) for child in CHILDREN}
    look(project, asked).keep(Answers(values=given, seconds={}, touched_by=touched), ("it was open",), project / "none")


def change(project: Path, section: str, **values: Any) -> None:
    document = yaml.safe_load(project.read_text(encoding="utf-8"))
    document[section] = {**(document.get(section) or {}), **values}
    project.write_text(yaml.safe_dump(document), encoding="utf-8")


def test_where_nothing_changed_every_child_is_spared(project):
    keep(project)
    found = look(project)
    assert set(found.checked) == ALL
    assert found.values["reload"] == {"of": "reload"}
    assert found.openings == ("it was open",)


@pytest.mark.parametrize(
    ("section", "values", "again"),
    [
        ("lora", {"r": 5}, TRAINED),
        ("training", {"learning_rate": 0.5}, TRAINED),
        ("data", {"max_seq_length": 700}, ALL - {"processor"}),
        ("model", {"torch_dtype": "float16"}, ALL),
    ],
)
def test_a_key_costs_the_children_that_read_its_section(project, section, values, again):
    keep(project)
    change(project, section, **values)
    assert ALL - set(look(project).checked) == again


def test_a_comment_costs_nothing(project):
    keep(project)
    project.write_text("# mine\n" + project.read_text(encoding="utf-8"), encoding="utf-8")
    assert set(look(project).checked) == ALL


def test_parts_of_the_users_may_read_every_section(project):
    (project.parent / "mine.py").write_text("def make(config, processor, model): ...\n", encoding="utf-8")
    change(project, "subject", collator="mine:make")
    keep(project)
    change(project, "lora", r=5)
    assert set(look(project).checked) == {"processor"}


def test_the_users_source_a_row_a_file_beside_it_and_a_model_file_cost_what_may_read_them(project):
    rows = load_config(project).data.train_path / "metadata.json"
    for path in (project.parent / "mine.py", project.parent / "deep" / "words.txt", rows):
        path.parent.mkdir(exist_ok=True)
        keep(project)
        path.write_text(f"{path.read_text(encoding='utf-8') if path.exists() else ''}\n", encoding="utf-8")
        assert set(look(project).checked) == {"processor"}, path


def test_a_file_that_a_child_opened_elsewhere_costs_that_child(project, tmp_path):
    elsewhere = tmp_path / "elsewhere.txt"
    elsewhere.write_text("a", encoding="utf-8")
    os.utime(elsewhere, ns=(1, 1))
    look_before = look(project)
    look_before.began += 10**12
    touched = {"forward": frozenset([str(elsewhere)])}
    answers = Answers(values={name: {} for name in (*ALL, "reload")}, seconds={}, touched_by=touched)
    look_before.keep(answers, (), project / "none")
    assert set(look(project).checked) == ALL
    elsewhere.write_text("b", encoding="utf-8")
    assert set(look(project).checked) == ALL - {"forward"}


@pytest.mark.parametrize(("name", "again"), [("MY_SWITCH", ALL), ("SHLVL", set()), ("MY_SECRET_TOKEN", set())])
def test_a_variable_that_the_children_get_costs_all_of_them(project, monkeypatch, name, again):
    """What holds a secret by its name does not reach them."""
    keep(project)
    monkeypatch.setenv(name, "77")
    assert ALL - set(look(project).checked) == again


@pytest.mark.parametrize("field", ["find_version", "_digest_ours"])
def test_another_release_of_ours_costs_all(project, monkeypatch, field):
    recalling._digest_ours.cache_clear()
    keep(project)
    recalling._digest_ours.cache_clear()
    monkeypatch.setattr(recalling, field, lambda: "another")  # the cache is that of the function, which comes back
    assert not look(project).checked


def test_other_installed_versions_other_seconds_and_other_trust_cost_all(project, monkeypatch, tmp_path):
    keep(project)
    assert not look(project, Asked(trust=True, keeps=True, reuses=True, seconds=7)).checked
    assert not look(project, Asked(trust=False, keeps=True, reuses=True)).checked
    (tmp_path / "site" / "other-9.9.dist-info").mkdir(parents=True)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert not look(project).checked


def test_what_this_very_command_writes_costs_nothing(project):
    page = project.parent / "report.html"
    asked = Asked(trust=True, keeps=True, reuses=True, writes=(str(page),))
    keep(project, asked=asked)
    page.write_text("a page", encoding="utf-8")
    assert set(look(project, asked).checked) == ALL


def test_a_page_that_an_earlier_check_has_written_costs_nothing(project):
    page = project.parent / "report.html"
    with_page = Asked(trust=True, keeps=True, reuses=True, writes=(str(page),))
    keep(project, asked=with_page)
    page.write_text("a page", encoding="utf-8")
    assert set(look(project).checked) == ALL
    (project.parent / "other.html").write_text("not ours", encoding="utf-8")
    assert set(look(project).checked) == {"processor"}


def test_a_page_that_is_written_of_what_was_taken_over_costs_nothing_either(project):
    keep(project)
    page = project.parent / "report.html"
    with_page = Asked(trust=True, keeps=True, reuses=True, writes=(str(page),))
    assert set(look(project, with_page).checked) == ALL
    page.write_text("a page", encoding="utf-8")
    assert set(look(project).checked) == ALL


def test_a_report_that_a_child_reads_is_an_input(project):
    page = project.parent / "report.json"
    page.write_text("{}", encoding="utf-8")
    keep(project, asked=Asked(trust=True, keeps=True, reuses=True, writes=(str(page),)), opened=(page,))
    assert set(look(project).checked) == ALL
    page.write_text("[]", encoding="utf-8")
    assert not look(project).checked


def test_a_check_with_pictures_spares_one_without_and_not_the_other_way_round(project):
    drawn = Asked(trust=True, keeps=True, reuses=True, illustrated=True)
    keep(project)
    assert ALL - set(look(project, drawn).checked) == {"collator"}
    keep(project, asked=drawn)
    assert set(look(project, drawn).checked) == ALL
    assert set(look(project).checked) == ALL


def test_a_fresh_check_takes_nothing_over_and_keeps_for_the_next(project):
    fresh = Asked(trust=True, keeps=True)
    keep(project, asked=fresh)
    assert not look(project, fresh).checked
    assert set(look(project).checked) == ALL


def test_what_ended_badly_is_run_again(project):
    keep(project, forward=Unknown(reason="it died"), reload=Unknown(reason="it died"))
    assert set(look(project).checked) == {"collator", "processor"}
    keep(project, collator={"views": [{"fact": "Unknown", "reason": "killed", "cause": "no answer"}]})
    assert set(look(project).checked) == ALL - {"collator"}


def test_a_key_that_is_tried_and_taken_back_costs_nothing(project):
    before = project.read_text(encoding="utf-8")
    keep(project)
    change(project, "lora", r=5)
    keep(project)
    project.write_text(before, encoding="utf-8")
    assert set(look(project).checked) == ALL


def test_a_state_that_changed_while_it_was_looked_at_is_not_kept(project):
    found = look(project)
    change(project, "model", torch_dtype="float16")
    found.keep(Answers(values={"processor": {}}, seconds={}), (), project / "none")
    assert not look(project).checked


def test_a_file_that_somebody_wrote_is_not_believed(project):
    keep(project)
    [path] = (find_cache_directory() / "answers-2").iterdir()
    kept = msgspec.msgpack.decode(path.read_bytes())
    for data in (b"", b"\xc1", msgspec.msgpack.encode({**kept, "signature": "0" * 64})):
        path.write_bytes(data)
        assert not look(project).checked


def test_rows_that_the_users_code_makes_and_an_open_network_are_never_taken_over(project):
    (project.parent / "mine.py").write_text("def rows(config): ...\n", encoding="utf-8")
    change(project, "subject", dataset="mine:rows")
    keep(project)
    assert set(look(project).checked) == {"processor"}
    assert open_recall(load_config(project), Asked(trust=True, keeps=True, reuses=True, network=True)) is None
    assert open_recall(load_config(project), Asked(trust=True)) is None


def test_a_second_check_says_the_same_and_what_it_took_over(project, sandbox):
    config = load_config(project)
    first = check(config, trust=True, only=("PRC001",), keeps=True, reuses=True, sandbox=sandbox)
    again = check(config, trust=True, only=("PRC001",), keeps=True, reuses=True)
    assert again.facts.digest() == first.facts.digest()
    assert not first.reused and "processor" in again.reused
    assert ", from the check of " in again.told_reused
    fresh = check(config, trust=True, only=("PRC001",), sandbox=sandbox)
    assert fresh.facts.digest() == first.facts.digest() and not fresh.reused
