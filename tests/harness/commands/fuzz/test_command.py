"""`preflight fuzz`: the search in a child, the words it prints, and what it refuses."""

from __future__ import annotations

import importlib.util
import textwrap
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from preflight_ocr.fixtures.corpus.models import find_model_obstacle
from preflight_ocr.fixtures.corpus.plant import write_project
from preflight_ocr.harness import cli
from preflight_ocr.harness.check.trust import NO_TRUST
from preflight_ocr.harness.commands.fuzz import command
from preflight_ocr.harness.commands.fuzz.command import BrokenPromise, Fuzzed, FuzzError, fuzz
from preflight_ocr.harness.config.config import load_config

NAIVE = """
    from preflight_ocr.harness.training.model import load_processor
    from preflight_ocr.harness.training.train import build_own_collator


    class Naive:
        def __init__(self, inner):
            self.inner = inner

        def __call__(self, rows):
            batch = self.inner(rows)
            kept = max(len(row["text"]) for row in rows) < 4
            return batch if kept else {name: value[:1] for name, value in batch.items()}


    def collator(config, processor, model):
        return Naive(build_own_collator(config, model, load_processor(config)))
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The YAML of a healthy project on the miniature with remote code, and one with a collator of the user's own."""
    folder = tmp_path_factory.mktemp("project")
    path = write_project(folder, [])
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    document["subject"] = {"collator": "naive:collator"}
    (folder / "naive.py").write_text(textwrap.dedent(NAIVE), encoding="utf-8")
    (folder / "own.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    return {"healthy": path, "own": folder / "own.yaml"}


@pytest.mark.parametrize("name", ["deepseek_ocr", "dots_ocr"])
def test_our_collator_survives_for_models_with_code_of_their_own(project, sandbox, tmp_path, name):
    if obstacle := find_model_obstacle(name):
        pytest.skip(obstacle)
    path = project["healthy"] if name == "deepseek_ocr" else write_project(tmp_path, [], model=name)
    found = fuzz(load_config(path), folder=tmp_path / "out", examples=6, trust=True, sandbox=sandbox)
    assert found.broken == () and found.exit_code == 0
    assert found.tried == 6 and found.taken >= 3


def test_a_users_collator_that_loses_rows_is_found_and_its_sample_can_be_tried_again(project, sandbox, tmp_path):
    config = load_config(project["own"])
    found = fuzz(config, folder=tmp_path, examples=30, seconds=100, trust=True, sandbox=sandbox)
    (broken,) = found.broken
    assert (broken.promise, found.exit_code) == ("keeps-its-rows", 11)
    assert Path(broken.folder) == tmp_path / "keeps-its-rows"
    again = fuzz(config, folder=tmp_path / "again", trust=True, replayed=Path(broken.folder), sandbox=sandbox)
    assert "keeps-its-rows" in [one.promise for one in again.broken]
    healthy = load_config(project["healthy"])
    assert not fuzz(healthy, folder=tmp_path, trust=True, replayed=Path(broken.folder), sandbox=sandbox).broken


def test_a_sample_that_ends_the_process_is_kept_like_any_other(project, sandbox, tmp_path):
    source = project["own"].with_name("deadly.yaml")
    document = yaml.safe_load(project["own"].read_text(encoding="utf-8"))
    document["subject"] = {"collator": "deadly:collator"}
    dies = (
        "        CALLS.append(1)\n        if len(CALLS) > 20:\n            __import__('os')._exit(7)\n        batch ="
    )
    deadly = "CALLS = []\n" + textwrap.dedent(NAIVE).replace("        batch =", dies)
    source.with_name("deadly.py").write_text(deadly, encoding="utf-8")
    source.write_text(yaml.safe_dump(document), encoding="utf-8")
    found = fuzz(load_config(source), folder=tmp_path, examples=30, trust=True, sandbox=sandbox)
    (broken,) = found.broken
    assert broken.promise == "ends-the-process" and "7" in broken.seen
    assert (tmp_path / "ends-the-process" / "expectation.json").is_file()
    assert not (tmp_path / "running.json").exists()


def test_foreign_code_does_not_run_without_trust(project, tmp_path):
    for path in project.values():
        with pytest.raises(FuzzError) as raised:
            fuzz(load_config(path), folder=tmp_path)
        assert str(raised.value) == NO_TRUST


def test_without_hypothesis_the_message_says_what_to_install(project, tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "hypothesis" else find(name))
    with pytest.raises(FuzzError, match="pip install hypothesis"):
        fuzz(load_config(project["healthy"]), folder=tmp_path, trust=True)


def test_a_project_on_which_nothing_can_be_tried_is_an_error_that_says_why(project, sandbox, tmp_path):
    document = yaml.safe_load(project["healthy"].read_text(encoding="utf-8"))
    document["subject"] = {"collator": "nowhere:collator"}
    path = project["healthy"].with_name("lost.yaml")
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    with pytest.raises(FuzzError, match=r"nothing could be tried: SubjectError: nowhere:collator"):
        fuzz(load_config(path), folder=tmp_path, trust=True, sandbox=sandbox)


@pytest.fixture
def run(project, monkeypatch):
    """The command with a search that answers as it is told."""

    def run(answer, *options):
        asked = {}

        def answer_instead(config, **given):
            asked.update(given)
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(command, "fuzz", answer_instead)
        monkeypatch.setattr("sys.excepthook", None)
        return CliRunner().invoke(cli.preflight, ["fuzz", str(project["healthy"]), *options]), asked

    return run


def test_a_search_without_a_finding_says_how_much_was_tried(run):
    done, asked = run(Fuzzed(tried=40, taken=35, broken=(), seconds=3.2), "--examples", "40")
    assert done.exit_code == 0
    assert done.stdout.strip() == "every promise held: 40 samples tried, 35 became a batch, 3 s"
    assert (asked["examples"], asked["folder"], asked["replayed"]) == (40, Path("preflight-fuzz"), None)


def test_a_broken_promise_is_shown_with_its_sample_and_the_command_that_tries_it_again(run, project):
    broken = BrokenPromise(
        promise="ends-once", seen="row 0 trains 2 ends", sample="no page with '</s>'", folder="out/ends-once"
    )
    done, _ = run(Fuzzed(tried=9, taken=9, broken=(broken,), seconds=1.0, out_of_time=True))
    assert done.exit_code == 11
    assert done.stdout.splitlines() == [
        "ends-once: row 0 trains 2 ends",
        "  smallest sample: no page with '</s>'",
        "  kept in out/ends-once",
        f"  again: preflight fuzz {project['healthy']} --replay out/ends-once",
        "1 promise broken: 9 samples tried, 9 became a batch, 1 s, stopped when the time was over",
    ]


def test_what_cannot_be_tried_ends_with_2_and_one_message(run):
    done, _ = run(FuzzError("type `pip install hypothesis`"))
    assert (done.exit_code, done.stderr.strip()) == (2, "Error: type `pip install hypothesis`")
