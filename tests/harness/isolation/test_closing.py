"""What is closed around a child, what is said where it is open, and folders that belong to their run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from preflight_ocr.harness.isolation import ChildRaised, Returned, Sandbox
from preflight_ocr.harness.isolation.closing import CLOSED_BY_US, Closed, describe, measure_landlock
from preflight_ocr.harness.isolation.environment import is_secret, without_secrets
from preflight_ocr.harness.isolation.scratch import clear_abandoned, own_folder

HERE = Path(__file__).parent
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="the system can close nothing")
with_landlock = pytest.mark.skipif(measure_landlock() < 3, reason="this kernel has no Landlock of version 3")


@pytest.mark.parametrize(
    "name",
    ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "OPENAI_API_KEY", "WANDB_API_KEY", "AWS_ACCESS_KEY_ID", "AWS_PROFILE",
     "AZURE_CLIENT_ID", "GOOGLE_APPLICATION_CREDENTIALS", "MY_SECRET", "DB_PASSWORD", "GITHUB_ACTOR", "SSH_AUTH_SOCK",
     "hf_token"],
)  # fmt: skip
def test_a_secret_is_known_by_its_name(name: str) -> None:
    assert is_secret(name)
    assert without_secrets({name: "x", "PATH": "y"}) == {"PATH": "y"}
    assert without_secrets({name: "x"}, named=(name,)) == {name: "x"}


@pytest.mark.parametrize(
    "name",
    ["PATH", "HOME", "PWD", "OLDPWD", "HF_HOME", "CUDA_VISIBLE_DEVICES", "TOKENIZERS_PARALLELISM", "LD_LIBRARY_PATH",
     "OMP_NUM_THREADS", "PYTHONPATH", "LANG", "XDG_CACHE_HOME", "HF_HUB_OFFLINE", "PYTORCH_CUDA_ALLOC_CONF"],
)  # fmt: skip
def test_what_the_libraries_need_is_no_secret(name: str) -> None:
    assert not is_secret(name)


@linux_only
@pytest.mark.parametrize("named", [(), ("HF_TOKEN",)])
def test_foreign_code_gets_a_secret_only_where_it_was_named(
    named: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_x")
    with Sandbox(preload=(), path=[HERE], named=named) as sandbox:
        ending = sandbox.run("isolation_targets:get_environment", {"name": "HF_TOKEN"})
    assert isinstance(ending, Returned)
    assert ending.value == ("hf_x" if named else None)


@with_landlock
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_child_writes_below_its_own_folders_and_nowhere_else(method: str, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    with Sandbox(preload=(), path=[HERE], start_method=method) as sandbox:  # type: ignore[arg-type]
        inside = sandbox.run(
            "isolation_targets:write_file", {"file": str(tmp_path / "own" / "a"), "size": 1 << 20},
            writable=[tmp_path / "own"],
        )  # fmt: skip
        outside = sandbox.run("isolation_targets:write_file", {"file": str(tmp_path / "b"), "size": 1 << 20})
        assert sandbox.closed is not None and sandbox.closed.writing == ""
    assert isinstance(inside, Returned)
    assert isinstance(outside, ChildRaised) and outside.type == CLOSED_BY_US
    assert f"{tmp_path / 'b'} is outside of it" in outside.message and "PermissionError" in outside.message
    assert not (tmp_path / "b").exists()


@linux_only
@pytest.mark.parametrize("network", [False, True])
def test_the_network_is_closed_unless_it_was_asked_for_and_that_is_said(network: bool) -> None:
    with Sandbox(preload=(), path=[HERE], network=network) as sandbox:
        ending = sandbox.run("isolation_targets:make_socket", {})
        closed = sandbox.closed
    assert closed is not None
    assert isinstance(ending, Returned if closed.network else ChildRaised)
    if isinstance(ending, ChildRaised):
        assert ending.type == CLOSED_BY_US and "give --network" in ending.message
    said = [sentence for sentence in describe(closed) if "the network was open" in sentence]
    assert bool(said) is bool(closed.network)
    if network:
        assert said == ["the network was open to foreign code: --network was given"]


@with_landlock
def test_what_the_files_own_rights_forbid_is_not_put_down_to_the_check(tmp_path: Path) -> None:
    missing = str(tmp_path / "no such folder" / "b")
    with Sandbox(preload=(), path=[HERE]) as sandbox:
        read_only = sandbox.run("isolation_targets:write_file", {"file": "/proc/version", "size": 1})
        absent = sandbox.run("isolation_targets:write_file", {"file": missing, "size": 1})
    assert isinstance(read_only, ChildRaised) and isinstance(absent, ChildRaised)
    assert absent.type == "FileNotFoundError"
    assert read_only.type in ("PermissionError", CLOSED_BY_US)  # root may write what its mode forbids


def test_each_thing_that_was_open_has_a_sentence() -> None:
    assert describe(Closed(writing="", network="", shared_memory="")) == ()
    assert describe(Closed(writing="no Landlock", network="", shared_memory="")) == (
        "foreign code could write wherever this user may: no Landlock",
    )


@linux_only
def test_what_a_child_leaves_in_its_temporary_folder_and_in_shared_memory_goes_with_it() -> None:
    with Sandbox(preload=(), path=[HERE]) as sandbox:
        ending = sandbox.run("isolation_targets:leave_files", {})
        closed = sandbox.closed
        assert isinstance(ending, Returned)
        temporary, shared = ending.value
        assert not Path(temporary).exists()
    assert closed is not None
    if not closed.shared_memory:
        assert not Path(shared).exists()
    else:
        Path(shared).unlink()


def test_a_child_names_the_files_that_it_opened_and_the_modules_that_it_imported(tmp_path: Path) -> None:
    (tmp_path / "far_away.py").write_text("WORDS = open(__file__[:-11] + 'words.txt').read()", encoding="utf-8")
    (tmp_path / "words.txt").write_text("x", encoding="utf-8")
    with Sandbox(preload=(), path=[HERE, tmp_path]) as sandbox:
        ending = sandbox.run("isolation_targets:import_module", {"name": "far_away"})
    assert isinstance(ending, Returned)
    assert {str(tmp_path / "far_away.py"), str(tmp_path / "words.txt")} <= set(ending.touched)
    assert not [name for name in ending.touched if "/lib/python" in name]


# ---- folders


def test_a_folder_goes_with_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with own_folder() as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "file").touch()
        clear_abandoned()
        assert (folder / "deep" / "file").exists()
    assert list(tmp_path.iterdir()) == []


@linux_only
def test_the_next_run_clears_what_a_killed_one_left_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "preflight-of-somebody").mkdir()
    (tmp_path / "preflight-link").symlink_to(tmp_path)
    script = (
        "import time\nfrom preflight_ocr.harness.isolation.scratch import own_folder\n"
        "with own_folder() as folder:\n"
        "    (folder / 'file').touch(); print(folder, flush=True); time.sleep(600)\n"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    process = subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    folder = Path(process.stdout.readline().strip())
    clear_abandoned()
    assert (folder / "file").exists()  # its owner runs
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    with own_folder() as mine:
        assert {path.name for path in tmp_path.iterdir()} == {"preflight-of-somebody", "preflight-link", mine.name}
