"""Training programs as people write them, run unchanged: held, looked at, and silent or named as they deserve."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from preflight_ocr.fixtures.corpus.plant import write_project
from preflight_ocr.fixtures.native import find_obstacle, load_recipe, write_model
from preflight_ocr.harness.check.command import Watched, check_command, gather
from preflight_ocr.harness.check.taking_over import Taken
from preflight_ocr.harness.config.config import load_config
from preflight_ocr.harness.facts import Unknown
from preflight_ocr.harness.judging.findings import Kept, Severity
from preflight_ocr.harness.verdict.decision import find_dead
from tests.support.held import list_words, write_held_project, write_rows


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A miniature whose processor needs no torchvision, and rows in a form of somebody's own."""
    return write_held_project(tmp_path_factory.mktemp("project"))


def _check(project: Path, program: str, *fault: str, **options: bool) -> Watched:
    return check_command(list_words(project, program, *fault), **options)


def _codes(watched: Watched) -> list[str]:
    return [finding.code for finding in watched.report.findings if finding.severity is not Severity.NOTE]


@pytest.mark.parametrize(
    ("program", "at"),
    [
        ("train_messages.py", "transformers.trainer.Trainer.train"),
        pytest.param("train_loop.py", "accelerate.Accelerator.prepare", marks=pytest.mark.slow),
        pytest.param("train_by_hand.py", "preflight_ocr.hold", marks=pytest.mark.slow),
    ],
)
def test_a_healthy_program_is_held_and_silent(project: Path, program: str, at: str) -> None:
    watched = _check(project, program)
    assert watched.taken.at == at, watched.taken.ended
    assert _codes(watched) == []
    assert watched.report.judged > 60
    kept = {j.contract.diagnosis.code for j in watched.report.judgements if isinstance(j.outcome, Kept)}
    # What the rows are asked with comes from the collator's own calls of its processor.
    assert program != "train_messages.py" or {"LRN008", "FWD017", "LRN009", "DAT011"} <= kept
    assert not (project / "data" / "trained").exists()  # it ended where its training would have begun
    assert set(watched.taken.answers) >= {"learning", "reload", "forward", "collator", "processor", "rows"}


@pytest.mark.parametrize(
    ("program", "fault", "code"),
    [
        ("train_messages.py", "unmasked_prompt", "LBL002"),
        ("train_messages.py", "drops_token_types", "LRN008"),
        pytest.param("train_messages.py", "two_spellings", "DAT011", marks=pytest.mark.slow),
        pytest.param("train_messages.py", "darkens_pages", "LRN008", marks=pytest.mark.slow),
        pytest.param("train_loop.py", "unsupervised_eos", "LBL006", marks=pytest.mark.slow),
    ],
)
def test_a_planted_fault_is_named_and_nothing_else(project: Path, program: str, fault: str, code: str) -> None:
    watched = _check(project, program, fault)
    assert _codes(watched) == [code]
    assert watched.report.lines.get("subject.collator") or program == "train_loop.py"


@pytest.mark.slow
@pytest.mark.parametrize(
    "habit",
    ["sorts_rows", "draws_prompts", "alters_pages", "pads_pages", "returns_features", "pads_left", "yields_tuples"],
)
def test_what_healthy_collators_do_is_silent(project: Path, habit: str) -> None:
    watched = _check(project, "train_messages.py", habit)
    assert _codes(watched) == []
    assert watched.report.judged > 60


PACKED = "train_packed.py"


@pytest.mark.skipif(find_spec("bitsandbytes") is not None, reason="bitsandbytes is installed")
def test_a_program_whose_packing_cannot_be_had_here_is_told_which_package_it_needs(project: Path) -> None:
    watched = _check(project, PACKED)
    assert _codes(watched) == ["ENV020"]
    assert "load_in_4bit" in watched.report.findings[0].summary


@pytest.mark.parametrize(
    ("fault", "codes"),
    [
        ((), []),
        (("packs_the_head",), ["DTY011"]),
        pytest.param(("packs_the_tower",), ["DTY012"], marks=pytest.mark.slow),
        pytest.param(("unprepared",), ["LRA009"], marks=pytest.mark.slow),
    ],
)
def test_a_program_that_packs_its_weights_is_held_with_them_packed(
    project: Path, fault: tuple[str, ...], codes: list[str]
) -> None:
    pytest.importorskip("bitsandbytes")
    watched = _check(project, PACKED, *fault)
    assert watched.taken.at == "transformers.trainer.Trainer.train", watched.taken.ended
    assert _codes(watched) == codes
    assert not any("quantization_config" in line for line in watched.taken.undone)
    packed = watched.report.facts.adapter.quantised
    assert packed.formats and packed.parts["attention"] == 8


def test_weights_that_are_not_there_are_packed_as_well(tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    project = write_held_project(tmp_path)
    for file in (project / "model").glob("*.safetensors"):
        file.unlink()
    watched = _check(project, PACKED)
    assert _codes(watched) == []
    assert watched.report.facts.adapter.quantised.formats == ("nf4",)


def test_texts_whose_last_letter_is_several_tokens_are_found_whole(project: Path) -> None:
    watched = _check(project, "train_messages.py", "letters_of_several_bytes")
    assert _codes(watched) == []
    kept = {j.contract.diagnosis.code for j in watched.report.judgements if isinstance(j.outcome, Kept)}
    assert {"LBL001", "LBL002", "LBL006", "LRN008", "LRN009"} <= kept


@pytest.mark.slow
def test_a_trainer_that_saves_the_tokenizer_alone_leaves_what_can_be_read(project: Path) -> None:
    watched = _check(project, "train_messages.py", "saves_tokenizer_alone")
    assert _codes(watched) == []
    kept = {judged.contract.diagnosis.name for judged in watched.report.judgements if isinstance(judged.outcome, Kept)}
    assert "unreadable_result" in kept


@pytest.mark.slow
def test_a_program_that_trains_all_of_a_model_on_prepared_rows_is_judged_on_what_can_be_told(tmp_path: Path) -> None:
    if obstacle := find_obstacle(load_recipe("trocr")):
        pytest.skip(obstacle)
    write_model("trocr", tmp_path / "model")
    write_rows(tmp_path / "data")
    watched = _check(tmp_path, "train_trocr.py")
    assert watched.taken.at == "transformers.trainer_seq2seq.Seq2SeqTrainer.train", watched.taken.ended
    assert _codes(watched) == []
    assert watched.report.blind == ""
    assert watched.report.judged > 40


BATCHES = """
import sys, torch
from transformers import AutoModelForImageTextToText, Trainer, TrainingArguments
model = AutoModelForImageTextToText.from_pretrained(sys.argv[1])
rows = [{"input_ids": [5, 6, 7]}] * 4
arguments = TrainingArguments(output_dir=sys.argv[2], report_to="none", remove_unused_columns=False)
Trainer(model=model, args=arguments, train_dataset=rows, data_collator=lambda rows: COLLATED).train()
"""


@pytest.mark.parametrize(("collated", "code"), [("(torch.ones(2, 3), 7, None)", None), ("{}['no such key']", "COL017")])
def test_a_batch_that_only_its_trainer_can_take_apart_is_skipped_and_one_that_cannot_be_made_is_named(
    project: Path, tmp_path: Path, collated: str, code: str | None
) -> None:
    script = tmp_path / "train.py"
    script.write_text(BATCHES.replace("COLLATED", collated), encoding="utf-8")
    watched = check_command([sys.executable, str(script), str(project / "model"), str(tmp_path / "out")])
    assert watched.taken.at, watched.taken.ended
    assert _codes(watched) == ([code] if code else [])
    if code is None:
        reasons = " ".join(watched.report.skipped)
        assert "which the command itself takes apart" in reasons


def test_a_program_that_raises_is_not_held_and_its_line_is_told(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text("import json\n\nprint('about to')\njson.loads('{')\n", encoding="utf-8")
    watched = check_command([sys.executable, str(script)])
    assert watched.report.verdict != "clear"
    assert "JSONDecodeError" in watched.taken.ended
    assert "about to" in watched.taken.ended
    assert (str(script), 4) in [(file, line) for file, line, _ in watched.taken.frames]


def test_a_program_that_never_trains_is_not_held(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text("print('nothing to train')", encoding="utf-8")
    watched = check_command([sys.executable, str(script)])
    assert watched.taken.at == ""
    assert "ended by itself" in watched.remarks[0]
    assert watched.report.exit_code == 3


ANSWERS = {
    "a number": "5",
    "an empty list": "[]",
    "a place of a wrong form": "{'at': 5}",
    "a configuration of a wrong form": "{'at': 'x', 'config': {'model': 5}}",
}


@pytest.mark.parametrize(
    "name", [name if not number else pytest.param(name, marks=pytest.mark.slow) for number, name in enumerate(ANSWERS)]
)
def test_a_program_that_changes_what_its_process_answers_is_told_and_nothing_is_cleared(
    tmp_path: Path, name: str
) -> None:
    script = tmp_path / "train.py"
    script.write_text(f"import msgspec\nmsgspec.to_builtins = lambda *given: {ANSWERS[name]}\n", encoding="utf-8")
    watched = check_command([sys.executable, str(script)])
    assert "your code changed what its process answers: a wrong form" in watched.taken.ended
    assert watched.report.verdict == "blind"


def test_answers_of_probes_that_the_command_rewrote_are_unknown_and_not_our_traceback(project: Path) -> None:
    config = load_config(write_project(project / "plain", []))
    taken = Taken(
        at="x",
        answers={"rows": 5, "collator": [], "forward": {"raised": 5}, "reload": "x", "learning": {}},
        failures={"processor": ("it did not run", "no such cause")},
    )
    facts, shown = gather(config, taken, progress=lambda message: None, timings={})
    assert shown is None
    assert find_dead(facts) is not None
    for section in (facts.dataset, facts.collator, facts.forward, facts.processor, facts.learning):
        assert isinstance(section, Unknown) and section.cause == "foreign code died", section


def test_a_program_that_hangs_is_ended_and_says_where_it_was(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text("import time\ntime.sleep(600)", encoding="utf-8")
    watched = check_command([sys.executable, str(script)], seconds=3)
    assert "did not reach its training within 3 s" in watched.taken.ended
