"""What nobody should have to hand in: the whole command in a process of its own, and how it ends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from preflight_ocr.fixtures.corpus.models import MODELS
from preflight_ocr.fixtures.corpus.plant import write_project
from tests.support.places import ROOT

COMMAND = "from preflight_ocr.harness.cli import preflight; preflight()"
REMOTE = "modeling_deepseekocr.py"
IN_FORWARD = "        if inputs_embeds is None:\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A healthy project with a model directory of its own."""
    path = write_project(tmp_path, [])
    shutil.copytree(MODELS / "deepseek_ocr", tmp_path / "model", ignore=shutil.ignore_patterns("__pycache__"))
    _change(path, lambda document: document["model"].update(base_model="model"))
    return path


def _change(path: Path, change: Callable[[dict], None]) -> None:
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    change(document)
    path.write_text(yaml.safe_dump(document), encoding="utf-8")


def _spoil(project: Path, *, at_import: str = "", in_forward: str = "") -> None:
    file = project.parent / "model" / REMOTE
    source = file.read_text(encoding="utf-8")
    assert IN_FORWARD in source
    in_forward = "".join(f"        {line}\n" for line in in_forward.splitlines())
    file.write_text(at_import + "\n" + source.replace(IN_FORWARD, in_forward + IN_FORWARD, 1), encoding="utf-8")


def run(project: Path, *words: str, seconds: float = 30) -> subprocess.CompletedProcess[str]:
    """`preflight check` with both reports, which must be whole or not there, and no traceback whatever happened."""
    reports = project.parent / "reports"
    words = ("check", str(project), "--json", str(reports / "r.json"), "--html", str(reports / "r.html"), *words)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", "HF_HUB_OFFLINE": "1"}
    ended = subprocess.run(
        [sys.executable, "-c", COMMAND, *words, "--seconds", str(seconds)],
        capture_output=True,
        encoding="utf-8",
        env=environment,
        cwd=project.parent,
        timeout=300,
        check=False,
    )
    said = ended.stdout + ended.stderr
    assert "Traceback" not in said, said
    assert len(said) < 50_000
    assert not (project.parent / "logs").exists()
    left = {file.name for file in reports.iterdir()} if reports.exists() else set()
    assert left == (set() if ended.returncode == 2 else {"r.json", "r.html"}), said
    return ended


def codes(project: Path) -> set[str]:
    report = json.loads((project.parent / "reports" / "r.json").read_text(encoding="utf-8"))
    return {finding["code"] for finding in report["findings"]}


def test_a_missing_file_is_named(tmp_path):
    ended = run(tmp_path / "nowhere.yaml")
    assert ended.returncode == 2
    assert "nowhere.yaml" in ended.stderr


@pytest.mark.parametrize(
    "text",
    [
        "model: [",
        "- a\n- b\n",
        "\x00",
        "model: {base_model: 3}",
        "a: &a [*a]\n",
        "",
        "!!python/object/apply:os.abort []",
    ],
)
def test_broken_yaml_is_an_error_that_names_the_file(tmp_path, text):
    path = tmp_path / "broken.yaml"
    path.write_text(text, encoding="utf-8")
    ended = run(path)
    assert ended.returncode == 2, ended.stdout + ended.stderr
    assert "broken.yaml" in ended.stderr


def test_an_unknown_model_says_what_was_looked_for(project):
    _change(project, lambda document: document["model"].update(base_model="nobody/has-this-model"))
    ended = run(project)
    assert ended.returncode in (3, 11, 12)
    assert "nobody/has-this-model" in ended.stdout


def test_a_corrupt_image_is_a_finding_with_its_row(project):
    rows = json.loads((project.parent / "train" / "metadata.json").read_text(encoding="utf-8"))
    (project.parent / "train" / rows[2]["image_path"]).write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    ended = run(project, "--only", "DAT")
    assert ended.returncode == 12
    assert codes(project) == {"DAT002"}
    assert "2" in ended.stdout and Path(rows[2]["image_path"]).name in ended.stdout


@pytest.mark.slow
def test_code_that_crashes_at_import_is_a_finding(project):
    _spoil(project, at_import="import ctypes\nctypes.string_at(0)")
    ended = run(project)
    assert ended.returncode == 12
    assert "SEC003" in codes(project)
    assert "SIGSEGV" in ended.stdout


@pytest.mark.slow
def test_code_that_exits_in_forward_is_a_finding(project):
    _spoil(project, in_forward="import os\nos._exit(0)")
    ended = run(project)
    assert ended.returncode == 12
    assert "SEC003" in codes(project)


@pytest.mark.slow
def test_code_that_never_returns_is_stopped_after_the_time_that_was_given(project):
    _spoil(project, in_forward="while True: pass")
    ended = run(project, seconds=4)
    assert ended.returncode == 12
    assert "SEC003" in codes(project)
    assert "4 s" in ended.stdout


@pytest.mark.slow
def test_code_that_wants_all_memory_is_a_finding(project):
    _spoil(project, in_forward="hoard = bytearray(30 << 30)")
    ended = run(project)
    assert ended.returncode == 12
    assert codes(project) & {"SEC003", "FWD006"}


@pytest.mark.slow
def test_code_that_prints_a_gigabyte_fills_neither_memory_nor_terminal(project):
    _spoil(project, at_import="import sys\nfor _ in range(1024): sys.stdout.write('spam ' * 200_000)")
    ended = run(project, "--only", "SEC003,FWD006", seconds=60)
    assert "spam spam spam spam" not in ended.stdout + ended.stderr
    assert ended.returncode in (0, 12)


@pytest.mark.parametrize("trust", [False, True])
def test_remote_code_runs_with_trust_only(project, trust):
    _spoil(project, at_import="raise RuntimeError('this line was run')")
    _change(project, lambda document: document["model"].update(trust_remote_code=False))
    ended = run(project, *(["--trust"] if trust else []))
    assert ("RuntimeError: this line was run" in ended.stdout) is trust
    assert ended.returncode in ((12,) if trust else (3, 11, 12))


def command(*words: str, cwd: Path, seconds: float = 120, **streams: Any) -> subprocess.CompletedProcess[str]:
    """`preflight` with these words in a process of its own, and no traceback."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", "HF_HUB_OFFLINE": "1"}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
    ended = subprocess.run(
        [sys.executable, "-c", COMMAND, *words],
        encoding="utf-8",
        errors="replace",
        env=environment,
        cwd=cwd,
        timeout=seconds,
        check=False,
        **streams,
    )
    assert "Traceback" not in f"{ended.stdout}{ended.stderr}", ended
    return ended


def test_foreign_text_cannot_forge_a_line_nor_reach_the_terminal(project):
    _change(project, lambda document: document["model"].update(base_model="no\x1b[2J\u202e\nCLEAR: no findings"))
    ended = command("check", str(project), "--level", "read", cwd=project.parent)
    assert ended.returncode == 2
    assert not any(sign in ended.stdout + ended.stderr for sign in "\x1b\u202e")
    assert not any(line.lstrip().startswith("CLEAR") for line in ended.stdout.splitlines())


def test_json_to_standard_output_is_nothing_but_json(project):
    ended = command("check", str(project), "--level", "read", "--json", "-", cwd=project.parent)
    assert ended.returncode in (0, 11)
    assert json.loads(ended.stdout)["findings"] == []
    assert "level read" in ended.stderr
    both = command("check", str(project), "--level", "read", "--json", "-", "--html", "-", cwd=project.parent)
    assert both.returncode == 2 and "only one report" in both.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_or_closed_output_keeps_the_exit_code(tmp_path):
    with Path("/dev/full").open("w") as full:
        ended = command("explain", "DAT001", cwd=tmp_path, stdout=full)
    assert ended.returncode == 0 and "cannot be written" in ended.stderr
    reading, writing = os.pipe()
    os.close(reading)
    ended = command("list", cwd=tmp_path, stdout=writing)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_check_with_its_own_exit_code_and_leaves_nothing(project, tmp_path, number, status):
    """The model's code waits for ever, so the check is in the middle when the signal comes."""
    _spoil(project, at_import="import time\ntime.sleep(600)")
    folder = tmp_path / "temporary"
    folder.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "TMPDIR": str(folder)}
    words = [sys.executable, "-c", COMMAND, "check", str(project), "--trust"]
    process = subprocess.Popen(
        words, env=environment, cwd=project.parent, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    assert process.stderr is not None
    for line in process.stderr:
        if b"running:" in line:
            break
    process.send_signal(number)
    _, said = process.communicate(timeout=120)
    assert process.returncode == status, said
    assert b"Traceback" not in said
    assert [path.name for path in folder.iterdir() if path.name.startswith("preflight-")] == []


def test_waivers_with_a_month_that_does_not_exist_are_refused_with_their_line(project):
    waivers = project.parent / "waivers.yaml"
    waivers.write_text("- {code: SEC001, reason: r, link: l, until: 2030-13-01}\n", encoding="utf-8")
    ended = command("check", str(project), "--level", "read", "--waivers", str(waivers), cwd=project.parent)
    assert ended.returncode == 2
    assert "waivers.yaml:1" in ended.stderr and "month must be in 1..12" in ended.stderr


def test_a_working_directory_that_was_deleted_is_named(tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    program = f"import os; os.rmdir({str(gone)!r}); {COMMAND}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"}
    words = [sys.executable, "-c", program, "check", "project.yaml", "--level", "read"]
    ended = subprocess.run(words, cwd=gone, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 2, ended.stderr
    assert "working directory has been deleted" in ended.stderr and "Traceback" not in ended.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from the kernel's own account")
@pytest.mark.parametrize(
    "kind", ["a list of lists", "a row that never ends", "a sparse picture", "a large python file"]
)
def test_what_is_too_large_costs_a_bounded_time_and_memory(project, kind):
    rows, model = project.parent / "train" / "metadata.json", project.parent / "model"
    if kind == "a list of lists":
        rows.write_bytes(b"[" + b"[]," * 400_000 + b"[]]")
    elif kind == "a row that never ends":
        rows.write_bytes(b'["' + b"x" * (40 << 20))
    elif kind == "a sparse picture":
        picture = json.loads(rows.read_text(encoding="utf-8"))[0]["image_path"]
        with (rows.parent / picture).open("r+b") as file:
            file.truncate(3 << 30)
    else:
        (model / REMOTE).write_bytes(b"x = [1, 2, 3]\n" * 500_000)
    # Not getrusage: a process keeps the peak of the one that started it across exec, here the test's own.
    peak = "next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1]"
    program = f"import atexit; atexit.register(lambda: print({peak})); {COMMAND}"
    words = [sys.executable, "-c", program, "check", str(project), "--level", "read"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    ended = subprocess.run(
        words, cwd=project.parent, env=environment, capture_output=True, text=True, check=False, timeout=180
    )
    assert ended.returncode in (3, 11, 12), ended.stdout
    assert int(ended.stdout.split()[-1]) < 2**20  # KiB
