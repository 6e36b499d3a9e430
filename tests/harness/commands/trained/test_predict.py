"""`preflight predict`: what is read, what cannot be, and how an ended run goes on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import torch
import yaml
from click.testing import CliRunner
from PIL import Image

from preflight_ocr.harness.cli import preflight
from preflight_ocr.harness.commands.trained import predict as command
from preflight_ocr.harness.training import reader as reading
from preflight_ocr.harness.training.repetition import SPAN, StopRunaway, find_runaway

MODELS = [
    "deepseek_ocr",
    "qwen2_vl",
    pytest.param("donut", marks=pytest.mark.slow),
    pytest.param("dots_ocr", marks=pytest.mark.slow),
]


def run(trained, *arguments, tokens=6):
    words = [
        "predict",
        "--adapter",
        trained.adapter,
        *trained.loaded,
        "--trust",
        "--max-new-tokens",
        tokens,
        *arguments,
    ]
    return CliRunner().invoke(preflight, list(map(str, words)))


def read_lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def compute_exactly(trained, folder, monkeypatch):
    """The same model in float32, its tower too, which casts to bfloat16 by itself: there, what a page gives is rounded by
    what else is in its batch."""
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.float)
    document = yaml.safe_load(trained.config.read_text(encoding="utf-8"))
    document["model"]["torch_dtype"] = "float32"
    document["subject"]["path"] = str(trained.config.parent)
    (folder / "exact.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    return msgspec.structs.replace(trained, loaded=("--config", str(folder / "exact.yaml")))


@pytest.mark.parametrize("model", MODELS)
def test_batches_of_like_size_read_in_order_what_single_pages_read(model, train, tmp_path, monkeypatch):
    trained = train(model)
    if model == "dots_ocr":
        trained = compute_exactly(trained, tmp_path, monkeypatch)
    ended = run(trained, trained.pages, "-o", tmp_path / "batches.jsonl")
    assert ended.exit_code == 0, ended.output
    run(trained, trained.pages, "-o", tmp_path / "single.jsonl", "--batch", 1)
    batches, single = read_lines(tmp_path / "batches.jsonl"), read_lines(tmp_path / "single.jsonl")
    assert batches == single
    assert [line["file"] for line in batches] == sorted(map(str, trained.pages.glob("*.png")))
    assert len({line["text"] for line in batches}) > 1, "the pages are told apart"


def test_the_pages_of_tiff_and_pdf_are_read_and_a_broken_file_costs_no_other(trained, tmp_path):
    pdfium = pytest.importorskip("pypdfium2")
    folder = tmp_path / "in"
    folder.mkdir()
    pages = [Image.open(path).convert("RGB") for path in sorted(trained.pages.glob("*.png"))[:3]]
    pages[0].save(folder / "a.tiff", save_all=True, append_images=pages[1:])
    pages[0].save(folder / "b.pdf", save_all=True, append_images=pages[1:])
    (folder / "c.png").write_bytes(b"\x89PNG\r\n\x1a\n cut short")
    (folder / "d.pdf").write_bytes(b"%PDF-1.4\n")
    empty = pdfium.PdfDocument.new()
    empty.save(folder / "e.pdf")
    pages[1].save(folder / "f.png")
    (folder / "notes.txt").write_text("no picture", encoding="utf-8")
    ended = run(trained, folder, "-o", tmp_path / "out.jsonl", "--dpi", 72)
    lines = read_lines(tmp_path / "out.jsonl")
    found = [(line["file"].rpartition("/")[2], line["page"], line["pages"]) for line in lines if line["error"] is None]
    assert found == [*(("a.tiff", n, 3) for n in (1, 2, 3)), *(("b.pdf", n, 3) for n in (1, 2, 3)), ("f.png", 1, 1)]
    failed = {line["file"].rpartition("/")[2]: line["error"] for line in lines if line["error"]}
    assert set(failed) == {"c.png", "d.pdf", "e.pdf"} and "c.png" in failed["c.png"]
    assert "it has no page" in failed["e.pdf"]
    names = [line["file"].rpartition("/")[2] for line in lines]
    assert names == ["a.tiff"] * 3 + ["b.pdf"] * 3 + ["c.png", "d.pdf", "e.pdf", "f.png"], "the order is kept"
    assert ended.exit_code == 3 and "passed over what is neither a picture nor a PDF: 1" in ended.output
    by_frame = {line["page"]: line["text"] for line in lines if line["file"].endswith("a.tiff")}
    run(trained, folder / "f.png", "-o", tmp_path / "one.txt")
    assert (tmp_path / "one.txt").read_text(encoding="utf-8") == f"{by_frame[2]}\n\f"


def test_files_that_cannot_be_opened_keep_their_place_also_without_an_output(trained, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    pictures = sorted(trained.pages.glob("*.png"))
    for name, content in (
        ("a", b""),
        ("b", pictures[0].read_bytes()),
        ("c", b"no picture"),
        ("d", None),
        ("e", b"\x89PNG"),
    ):
        (folder / f"{name}.png").write_bytes(pictures[1].read_bytes() if content is None else content)
    ended = run(trained, folder, tokens=2)
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [Path(line["file"]).stem for line in lines] == list("abcde")
    assert [line["error"] is None for line in lines] == [False, True, False, True, False]
    assert "the file is empty" in lines[0]["error"] and "10 bytes are of no picture format" in lines[2]["error"]
    assert "object at" not in ended.output and "leave it out" in lines[0]["error"]


def test_an_ended_run_goes_on_where_it_stopped(trained, tmp_path, monkeypatch):
    whole = tmp_path / "whole.jsonl"
    run(trained, trained.pages, "-o", whole, "--batch", 1)
    output, read = tmp_path / "out.jsonl", command.read
    seen: list[int] = []

    def read_and_count(model, collator, prompts, **given):
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(len(prompts))
        return read(model, collator, prompts, **given)

    monkeypatch.setattr(command, "read", read_and_count)
    ended = run(trained, trained.pages, "-o", output, "--batch", 1)
    assert ended.exit_code == 130 and "goes on from there" in ended.output and not output.exists()
    part = output.with_name("out.jsonl.part")
    with part.open("ab") as file:
        file.write(b'[{"file":"half a line')
    seen.clear()
    monkeypatch.setattr(command, "read", lambda *given, **named: [seen.append(len(given[2])), read(*given, **named)][1])
    ended = run(trained, trained.pages, "-o", output, "--batch", 1)
    assert ended.exit_code == 0 and sum(seen) == 12 - 8 and "8 of them from the run before" in ended.output
    assert output.read_bytes() == whole.read_bytes() and not part.exists()


def test_the_journal_of_another_run_is_not_gone_on_with(trained, tmp_path):
    asked = command.Asked(adapter="another", prompt=None, max_new_tokens=6, dpi=200)
    command.open_journal(tmp_path / "out.jsonl", asked).close()
    ended = run(trained, trained.pages, "-o", tmp_path / "out.jsonl")
    assert ended.exit_code == 2 and "another adapter" in ended.output


@pytest.mark.parametrize("model", ["deepseek_ocr", "qwen2_vl"])
def test_a_model_that_only_repeats_itself_is_stopped_by_generate_and_by_our_loop(model, train, tmp_path, monkeypatch):
    trained, load = train(model), reading.load_model

    def load_repeating(config):
        loaded = load(config)
        loaded.get_output_embeddings().register_forward_hook(
            lambda *given: given[2].index_fill(-1, torch.tensor(77), 1e4)
        )
        return loaded

    monkeypatch.setattr(reading, "load_model", load_repeating)
    ended = run(trained, min(trained.pages.glob("*.png")), "-o", tmp_path / "out.jsonl", tokens=10 * SPAN)
    [line] = read_lines(tmp_path / "out.jsonl")
    assert line["ended"] == "repetition" and len(line["text"]) < 20 and "repeated themselves" in ended.output


def test_what_repeats_itself_is_cut_to_one_unit():
    assert find_runaway([9, 8, *[1, 2, 3] * 100]) == 5
    assert find_runaway([1, 2, 3] * (SPAN // 3 - 1)) is None
    assert find_runaway([*range(300)]) is None
    assert find_runaway([*[7] * 300, 1]) is None, "it went on to something else"


def test_a_placeholder_that_is_repeated_in_the_prompt_is_no_runaway():
    given = torch.tensor([[5] * 400 + [1] * 8, [5] * 208 + [6] * 200])
    assert StopRunaway(400)(given, None).tolist() == [False, False]
    assert StopRunaway(208)(given[:, :400], None).tolist() == [True, True]


@pytest.fixture
def never_loaded(monkeypatch):
    def load(config):
        raise AssertionError("weights were loaded")

    monkeypatch.setattr(reading, "load_model", load)


def alter(folder, **settings):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | settings), encoding="utf-8")


@pytest.mark.usefixtures("never_loaded")
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (shutil.rmtree, "there is no such folder"),
        (lambda folder: (folder / "adapter_config.json").unlink(), "without adapter_config.json"),
        (lambda folder: (folder / "adapter_model.safetensors").unlink(), "adapter_model.safetensors is missing"),
        (lambda folder: (folder / "adapter_model.safetensors").write_bytes(b"\x10" + b"\0" * 7), "cut short"),
        (lambda folder: alter(folder, r=16), "says r = 16"),
    ],
)
def test_a_missing_or_damaged_adapter_is_named_before_weights_are_loaded(spoil, said, trained, tmp_path):
    folder = shutil.copytree(trained.adapter, tmp_path / "adapter")
    spoil(folder)
    words = ["predict", "--adapter", str(folder), "--trust", str(trained.pages)]
    ended = CliRunner().invoke(preflight, words)
    assert ended.exit_code == 2 and said in ended.output, ended.output


@pytest.mark.usefixtures("never_loaded")
def test_an_adapter_of_another_base_is_named_before_weights_are_loaded(trained, train):
    other = train("qwen2_vl")
    words = ["predict", "--adapter", str(other.adapter), "--trust", str(trained.pages)]
    ended = CliRunner().invoke(preflight, [*words, "--config", str(trained.config)])
    assert ended.exit_code == 2 and "trained on" in ended.output
    base = yaml.safe_load(trained.config.read_text(encoding="utf-8"))["model"]["base_model"]
    ended = CliRunner().invoke(preflight, [*words, "--base", base])
    assert ended.exit_code == 2 and "does not fit" in ended.output, ended.output


@pytest.mark.usefixtures("never_loaded")
def test_nothing_is_loaded_for_no_page(trained, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "no picture and no PDF" in run(trained, tmp_path / "empty").output
    assert "no such file or folder" in run(trained, tmp_path / "absent.png").output


def test_what_libraries_say_while_a_model_is_loaded_is_not_printed():
    code = (
        "from preflight_ocr.harness.cli.trained import refuse\n"
        "with refuse():\n"
        "    from transformers.utils import logging\n"
        "    from tqdm import tqdm\n"
        "    logging.get_logger('transformers.loading').warning('chatter')\n"
        "    list(tqdm([1], desc='chatter'))\n"
    )
    told = ("TRANSFORMERS_VERBOSITY", "TQDM_DISABLE", "HF_HUB_DISABLE_PROGRESS_BARS")
    environment = {name: value for name, value in os.environ.items() if name not in told}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert "chatter" not in ended.stdout + ended.stderr
