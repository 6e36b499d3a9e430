"""The life of a run in small, in a healthy project and in one where every stage that can raise does."""

from __future__ import annotations

import pytest

from preflight_ocr.fixtures.corpus.plant import write_project
from preflight_ocr.harness.facts import Raised, Rehearsal, Unknown
from preflight_ocr.harness.isolation import Returned, Sandbox

STAGES = ("arguments", "trainer", "optimizer", "step", "evaluation", "checkpoint", "resume", "saving", "processor",
          "generation_config")  # fmt: skip


def _rehearse(sandbox: Sandbox, folder, faults, model):
    import msgspec

    project = write_project(folder / "project", faults, model=model)
    (folder / "place").mkdir()
    arguments = {"config_path": str(project), "trust": True, "folder": str(folder / "place")}
    ended = sandbox.submit("preflight_ocr.probes.rehearsal.life:observe", arguments).result()
    assert isinstance(ended, Returned), ended
    return msgspec.convert(ended.value["rehearsal"], Rehearsal | Unknown)


def test_every_stage_of_a_healthy_run_is_done(sandbox, tmp_path):
    seen = _rehearse(sandbox, tmp_path, [], "qwen2_vl")
    assert {name: getattr(seen, name) for name in STAGES} == dict.fromkeys(STAGES, "done")
    assert seen.callbacks == ()
    assert "eval_loss" in seen.metrics
    assert seen.best == "not asked"


@pytest.mark.slow
def test_an_evaluation_that_raises_is_passed_over_and_the_stages_behind_it_are_reached(sandbox, tmp_path):
    seen = _rehearse(sandbox, tmp_path, ["life-03"], "qwen2_vl")
    assert isinstance(seen.evaluation, Raised)
    assert seen.evaluation.site.file == "undecodable_labels.py"
    assert (seen.checkpoint, seen.resume, seen.saving) == ("done", "done", "done")


@pytest.mark.slow
def test_the_outputs_that_evaluation_keeps_are_weighed_for_the_rows_of_the_run(sandbox, tmp_path):
    seen = _rehearse(sandbox, tmp_path, ["rep-12"], "qwen2_vl")
    assert (seen.kept.rows, seen.kept.all_rows) == (2, 2000)
    assert seen.kept.bytes > 100_000
