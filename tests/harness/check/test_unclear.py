"""What was called clear once, and is not: at level read, where nothing is run."""

from __future__ import annotations

import io
import json
import shutil

import pytest
import yaml
from PIL import Image

from preflight_ocr.fixtures.corpus.plant import write_project
from preflight_ocr.harness.check.check import check
from preflight_ocr.harness.config.config import load_config


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    """A healthy project that is only read, so that one serves all: each test changes a copy of its YAML."""
    return write_project(tmp_path_factory.mktemp("project"), ())


def read(path, tmp_path, **changes):
    """The report on the project with sections of its YAML changed."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    for section, values in changes.items():
        document[section] = None if values is None else {**(document.get(section) or {}), **values}
    document["model"].setdefault("base_model", "model")
    for key, folder in (("model", "base_model"), ("data", "train_path"), ("data", "val_path")):
        if document.get(key) and document[key].get(folder):
            document[key][folder] = str(path.parent / document[key][folder])
    changed = tmp_path / "run.yaml"
    changed.write_text(yaml.safe_dump(document), encoding="utf-8")
    return check(load_config(changed), level="read")


def place_rows(tmp_path, text):
    folder = tmp_path / "rows"
    folder.mkdir()
    (folder / "metadata.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(folder)


def test_a_healthy_project_that_was_only_read_is_never_called_clear(healthy, tmp_path):
    report = read(healthy, tmp_path)
    assert (report.verdict, report.exit_code) == ("partial", 0), report.headline
    assert report.headline.startswith("NOTHING FOUND BY READING") and not report.crashed


@pytest.mark.parametrize("data", [None, {"train_path": "no/such/folder", "val_path": None}])
def test_rows_that_are_not_there_leave_the_check_blind(data, healthy, tmp_path):
    report = read(healthy, tmp_path, data=data, training={"evaluation_strategy": "no", "load_best_model_at_end": False})
    assert (report.verdict, report.exit_code) == ("blind", 3), report.headline
    assert "rows" in report.blind


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('[{"image_path": "a.png", "te', "CFG008"),
        (b'[{"image_path": "\xff.png", "text": "x"}]', "CFG008"),
        ("[]", "DAT010"),
        ("[true]", "DAT010"),
        ('["a.png"]', "DAT010"),
        ('[["a.png", "text"]]', "DAT010"),
        (json.dumps([{"image_path": ["a.png", "b.png"], "text": "x"}]), "DAT010"),
        (json.dumps([{"image_path": None, "text": "x"}]), "DAT010"),
        (json.dumps([{"picture": "a.png", "words": "x"}]), "DAT010"),
        (json.dumps([{"image_path": ["a.png"], "text": "x"}]), "DAT001"),
        (json.dumps([{"file_name": "a.png", "text": "x"}]), "DAT001"),
    ],
)
def test_rows_that_cannot_be_used_are_refused_with_their_place(text, code, healthy, tmp_path):
    report = read(healthy, tmp_path, data={"train_path": place_rows(tmp_path, text), "val_path": None})
    assert code in [finding.code for finding in report.findings], report.headline
    assert (report.verdict, report.exit_code) == ("refused", 12)
    assert not report.crashed


@pytest.mark.parametrize(("place", "value"), [("config.json", b"{"), ("tokenizer.json", b'{"model": "\xff"}')])
def test_files_of_the_model_that_cannot_be_parsed_are_refused(place, value, healthy, tmp_path):
    document = yaml.safe_load(healthy.read_text(encoding="utf-8"))
    model = tmp_path / "model"
    shutil.copytree(healthy.parent / document["model"]["base_model"], model)
    (model / place).write_bytes(value)
    report = read(healthy, tmp_path, model={"base_model": str(model)})
    assert "CFG008" in [finding.code for finding in report.findings], report.headline
    assert (report.verdict, report.exit_code) == ("refused", 12)


def test_code_of_the_model_that_is_no_python_is_refused_with_its_line(healthy, tmp_path):
    document = yaml.safe_load(healthy.read_text(encoding="utf-8"))
    model = tmp_path / "model"
    shutil.copytree(healthy.parent / document["model"]["base_model"], model)
    code = next(path for path in sorted(model.glob("modeling*.py")))
    code.write_text("def forward(self:\n", encoding="utf-8")
    report = read(healthy, tmp_path, model={"base_model": str(model)})
    [finding] = [finding for finding in report.findings if finding.code == "CFG008"]
    assert f"{code.name}:1" in finding.summary and report.verdict == "refused"


def test_a_damaged_page_is_refused(healthy, tmp_path):
    folder = place_rows(tmp_path, json.dumps([{"image_path": "a.jpg", "text": "x"}]))
    page = io.BytesIO()
    Image.effect_noise((64, 64), 90).convert("RGB").save(page, "JPEG")
    whole = page.getvalue()
    (tmp_path / "rows" / "a.jpg").write_bytes(whole[:-60])
    report = read(healthy, tmp_path, data={"train_path": folder, "val_path": None})
    assert "DAT002" in [finding.code for finding in report.findings], report.headline


def test_dtype_is_another_name_for_torch_dtype(healthy, tmp_path):
    document = yaml.safe_load(healthy.read_text(encoding="utf-8"))
    document["model"].pop("torch_dtype", None)
    plain = healthy.with_name("dtype.yaml")
    plain.write_text(yaml.safe_dump(document), encoding="utf-8")
    report = read(plain, tmp_path, model={"dtype": "float32"})
    assert report.verdict == "partial" and not report.crashed
    assert report.facts.configuration.torch_dtype == "float32"


@pytest.mark.parametrize(
    ("place", "content"),
    [
        ("generation_config.json", b'{"a":'),
        ("pytorch_model.bin", b""),
        ("pytorch_model.bin", b"PK\x03\x04 and no end"),
        ("modeling_deepseekocr.py", b"\nreturn 1\n"),
        ("chat_template.jinja", b"{{ \xff }}"),
    ],
)
def test_a_file_that_loading_would_refuse_is_refused_by_reading(place, content, healthy, tmp_path):
    document = yaml.safe_load(healthy.read_text(encoding="utf-8"))
    model = tmp_path / "model"
    shutil.copytree(healthy.parent / document["model"]["base_model"], model)
    (model / "model.safetensors").unlink()
    (model / place).write_bytes(((model / place).read_bytes() if place.endswith(".py") else b"") + content)
    report = read(healthy, tmp_path, model={"base_model": str(model)})
    assert report.verdict == "refused", report.headline
    assert place in " ".join(finding.summary for finding in report.findings)
