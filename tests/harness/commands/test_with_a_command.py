"""What takes a training command in the place of a YAML file: diagnose, fuzz, matrix and write-tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import peft
import pytest
import transformers
from click.testing import CliRunner
from PIL import Image

from preflight_ocr.harness.cli import preflight
from preflight_ocr.harness.commands.contract_tests import NotEnoughFacts, Program, write_program
from preflight_ocr.harness.commands.matrix.cell import main, run_cell
from preflight_ocr.harness.commands.matrix.cells import make_cell
from preflight_ocr.harness.commands.matrix.records import read_cell
from preflight_ocr.harness.commands.matrix.subject import digest_subject
from preflight_ocr.harness.holding.command import Command, replace_interpreter
from tests.support.held import list_words, write_held_project

CELL = f"tf{transformers.__version__}-peft{peft.__version__}"
PASTE = "TypeError: Gemma3ForConditionalGeneration.forward() got an unexpected keyword argument 'pixels'\n"
COMMANDS = (["diagnose"], ["fuzz"], ["matrix", "--cells", CELL], ["write-tests", "-o", "contract"])


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_held_project(tmp_path_factory.mktemp("project"))


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def invoke(*words: object, paste: str | None = None):
        return CliRunner().invoke(preflight, [str(word) for word in words], input=paste, catch_exceptions=False)

    return invoke


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_without_trust_no_command_runs(run, words, tmp_path):
    (tmp_path / "train.py").write_text("open('ran', 'w')\n", encoding="utf-8")
    result = run(*words, "--", sys.executable, "train.py", paste=PASTE)
    assert (result.exit_code, "give --trust" in result.stderr) == (2, True)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_a_file_and_a_command_are_one_too_many(run, words, tmp_path):
    (tmp_path / "p.yaml").write_text("model: {base_model: x}\n", encoding="utf-8")
    given = ["-", "p.yaml"] if words[0] == "diagnose" else ["p.yaml"]
    result = run(words[0], *given, *words[1:], "--trust", "--", sys.executable, "train.py", paste=PASTE)
    assert (result.exit_code, "give one of them" in result.stderr) == (2, True)


def test_a_traceback_is_held_against_what_the_command_would_train(run, project):
    words = list_words(project, "train_messages.py")
    result = run("diagnose", "--trust", "--", *words, paste=PASTE)
    assert "FWD001 unaccepted_batch_key: not confirmed: the contract holds" in result.stdout
    assert f"Prove: preflight check --only FWD001 --trust -- {words[0]}" in result.stdout.replace("\n      ", " ")


@pytest.mark.slow
def test_generated_rows_stand_in_the_form_of_the_commands_own_and_what_breaks_a_promise_can_be_tried_again(
    run, project, tmp_path
):
    words = list_words(project, "train_messages.py")
    found = run("fuzz", "--examples", "30", "--trust", "--", *words)
    assert (found.exit_code, "ends-once" in found.stdout) == (11, True)  # it writes typed control tokens as such
    kept = tmp_path / "preflight-fuzz" / "ends-once"
    again = run("fuzz", "--replay", kept, "--trust", "--", *words)
    assert (again.exit_code, "ends-once: row" in again.stdout) == (11, True)


def test_a_row_is_dressed_in_the_form_mode_and_size_that_the_collator_gets(tmp_path):
    from preflight_ocr.harness.commands.fuzz.found import FuzzError
    from preflight_ocr.harness.commands.fuzz.held import HeldBench, _choose_form, _tell_finish

    def make(size):
        row = {"image": Image.new("L", size), "turns": {"question": "What?", "answer": "words"}, "answer": "words"}
        del row["turns"]["answer"]
        return row

    rows = [make((20, 10)), make((20, 10))]
    bench = object.__new__(HeldBench)
    bench.form, bench.picture, bench.text = _choose_form(rows)
    bench._mode, bench._size = _tell_finish(rows)
    page = tmp_path / "page.tif"
    Image.new("CMYK", (300, 500)).save(page)
    dressed = bench.dress({"image_path": str(page), "text": "other"})
    assert (dressed["image"].mode, dressed["image"].size, dressed["answer"]) == ("L", (20, 10), "other")
    assert _tell_finish([make((20, 10)), make((10, 20))]) == ("L", None)
    with pytest.raises(FuzzError, match="exactly one picture and one text"):
        _choose_form([{"image": Image.new("L", (2, 2)), "answer": "same", "caption": "same twice"}])


@pytest.mark.slow
def test_a_cell_holds_the_command_with_its_own_interpreter(project, tmp_path):
    words = ["/elsewhere/bin/python3", *list_words(project, "train_messages.py")[1:]]
    main(["--cell", CELL, "--json", str(tmp_path / "cell.json"), "--trust", "--", *words])
    (record,) = read_cell(tmp_path / "cell.json").models
    assert (record.ending, record.shown, record.breaches) == ("clear", "train_messages.py", ())
    assert record.kept > 40 and record.prediction is None


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("python3 train.py", "PY train.py"),
        ("env A=1 B=python /v/bin/python3.11 -m train", "env A=1 B=python PY -m train"),
        ("A=1 python train.py --language python", "A=1 PY train.py --language python"),
        ("llamafactory-cli train --language python", "llamafactory-cli train --language python"),
        ("accelerate launch train.py python", "accelerate launch train.py python"),
    ],
)
def test_only_the_interpreter_that_a_command_starts_with_is_replaced(words, expected):
    assert replace_interpreter(words.split(), "PY") == tuple(expected.split())


def test_a_command_that_is_not_held_is_unjudged_in_its_cell_with_the_reason(tmp_path):
    program = tmp_path / "train.py"
    program.write_text("raise SystemExit('no data')\n", encoding="utf-8")
    (record,) = run_cell(make_cell(CELL), words=[sys.executable, str(program)]).models
    assert (record.ending, "left with exit code no data" in record.reason) == ("unjudged", True)


def test_a_record_is_of_this_command_and_of_the_files_that_it_names(tmp_path):
    program, settings, beside = tmp_path / "train.py", tmp_path / "x.yaml", tmp_path / "data.py"
    for file in (program, settings, beside):
        file.write_text("1\n", encoding="utf-8")
    words = ["python", str(program), "--config", str(settings)]
    digests = {digest_subject((), words), digest_subject((), [*words, "--more"])}
    for file in (settings, beside):
        file.write_text("2\n", encoding="utf-8")
        digests.add(digest_subject((), words))
    assert len(digests) == 4


@pytest.mark.slow
@pytest.mark.parametrize("program", ["train_messages.py", "train_loop.py"])
def test_written_tests_hold_the_program_by_themselves_with_and_without_its_weights(run, program, tmp_path):
    project = write_held_project(tmp_path / "project")
    words = list_words(project, program)
    result = run("write-tests", "-o", tmp_path / "contract", "--trust", "--", *words)
    assert result.exit_code == 0, result.output
    (tmp_path / "contract" / "conftest.py").write_text(
        "import sys\nsys.modules['preflight_ocr'] = None\n", encoding="utf-8"
    )
    assert _run_pytest(tmp_path / "contract") == 0
    (project / "model" / "model.safetensors").unlink()
    assert _run_pytest(tmp_path / "contract") == 0
    source = (tmp_path / "contract" / "held_program.py").read_text(encoding="utf-8")
    sick = source.replace("return Parts(", "batch['labels'][:] = batch['input_ids']\n    return Parts(")
    (tmp_path / "contract" / "held_program.py").write_text(sick, encoding="utf-8")
    assert _run_pytest(tmp_path / "contract") == 1


def _run_pytest(folder: Path) -> int:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:preflight", "-p", "no:cacheprovider"]
    return subprocess.run(command, cwd=folder, env=environment, check=False, timeout=120).returncode


@pytest.mark.slow
def test_written_tests_call_an_own_collator_on_the_rows_that_the_check_gave_it(run, project, tmp_path):
    (tmp_path / "mine.py").write_text(OWN_COLLATOR, encoding="utf-8")
    rows = [json.loads(line) for line in (project / "data" / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    lines = [json.dumps({"image": str(project / "data" / row["page"]), "answer": row["answer"]}) for row in rows]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "project.yaml").write_text(
        f"model: {{base_model: {project / 'model'}}}\nsubject: {{collator: 'mine:make'}}\n"
        f"data: {{train_path: {tmp_path / 'rows.jsonl'}}}\nlora: {{target_modules: [q_proj, v_proj]}}\n",
        encoding="utf-8",
    )
    result = run("write-tests", "project.yaml", "-o", "contract", "--trust")
    assert result.exit_code == 0, result.output
    assert "answer" in json.loads((tmp_path / "contract" / "rows.json").read_text(encoding="utf-8"))[0]
    assert _run_pytest(tmp_path / "contract") == 0


OWN_COLLATOR = """
from PIL import Image

def make(config, processor, model):
    assert config.data.preprocessing is not None  # the YAML says nothing of it

    def collate(rows):
        end = processor.tokenizer.eos_token
        asked = "<start_of_image>read"
        texts = [f"{asked} {row['answer']}{end}" for row in rows]
        pictures = [[Image.open(row["image"]).convert("RGB")] for row in rows]
        batch = processor(text=texts, images=pictures, padding=True, return_tensors="pt")
        labels = batch["input_ids"].clone()
        labels[batch["attention_mask"] == 0] = -100
        for index in range(len(rows)):
            alone = processor(text=[asked], images=[pictures[index]], return_tensors="pt")["input_ids"].shape[1]
            start = int(batch["attention_mask"][index].argmax())
            labels[index, start : start + alone] = -100
        return {**batch, "labels": labels}

    return collate
"""


@pytest.mark.parametrize("kind", ["notebook", "code"])
def test_a_program_that_is_no_file_of_python_has_no_tests(kind):
    with pytest.raises(NotEnoughFacts, match=f"this one is {kind}"):
        write_program(Program(command=Command(kind=kind, target="x"), folder=Path("/"), rows=1))
