"""Whatever foreign code does, we get a clear ending, the next call works, and no process is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from preflight_ocr.harness.isolation import ChildRaised, Died, Ending, Limits, Returned, Sandbox, SandboxUnavailable

HERE = Path(__file__).parent
FORKS = sys.platform == "linux"
METHODS = [
    pytest.param(
        "fork", marks=pytest.mark.skipif(not FORKS, reason="only Linux forks safely after an import of torch")
    ),
    "spawn",
]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the hostile targets are written for POSIX")
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture(scope="module")
def others() -> set[int]:
    """Processes that are none of ours: another test's sandbox may be open for the whole session."""
    return set(find_descendants(os.getpid())) if sys.platform == "linux" else set()


@pytest.fixture(scope="module", params=METHODS)
def sandbox(request: pytest.FixtureRequest, others: set[int]) -> Iterator[Sandbox]:
    """One for all tests of a start method: whatever a test did to it, the next one still has to work."""
    with Sandbox(
        preload=(), start_method=request.param, limits=Limits(seconds=20), path=[HERE], closed=False
    ) as sandbox:
        yield sandbox


@pytest.fixture(autouse=True)
def nothing_survives(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "sandbox" in request.fixturenames and sys.platform == "linux":
        others = request.getfixturevalue("others")
        allowed = 1 if request.getfixturevalue("sandbox").start_method == "fork" else 0

        def find_left() -> set[int]:
            return set(find_descendants(os.getpid())) - others

        assert wait_until(lambda: len(find_left()) <= allowed), find_descendants(os.getpid())


def call(sandbox: Sandbox, name: str, limits: Limits | None = None, /, **arguments: object) -> Ending:
    return sandbox.run(f"isolation_targets:{name}", arguments, limits=limits)


BROWSERS = ("(chrom", "(chrome", "(node", "(playwright")


def find_descendants(root: int) -> dict[int, str]:
    parents: dict[int, tuple[int, str]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                name, _, fields = (entry / "stat").read_text(errors="replace").rpartition(")")
            except OSError:
                continue
            if any(browser in name for browser in BROWSERS):
                continue  # another test's, in the same worker
            parents[int(entry.name)] = (int(fields.split()[1]), f"{name}) {fields.split()[0]}")
    found = {root}
    while more := {pid for pid, (parent, _) in parents.items() if parent in found and pid not in found}:
        found |= more
    return {pid: parents[pid][1] for pid in found - {root}}


def wait_until(condition: object, seconds: float = 5.0) -> bool:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return bool(condition())


def lives(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


# ---- ordinary ends


def test_a_value_comes_back(sandbox: Sandbox) -> None:
    ending = call(sandbox, "add", a=1, b=2)
    assert isinstance(ending, Returned)
    assert ending.value == 3
    assert ending.output == ""
    assert 0 <= ending.seconds < 5


def test_builtin_values_and_paths_travel_both_ways(sandbox: Sandbox) -> None:
    value = {"text": "привет", "none": None, "numbers": [1, -2, 2.5, True], "bytes": b"\x00\xff", "map": {1: "a"}}
    ending = call(sandbox, "echo", value=value | {"path": Path("a/b")})
    assert isinstance(ending, Returned)
    assert ending.value == value | {"path": str(Path("a/b"))}


def test_arguments_larger_than_a_pipe_arrive(sandbox: Sandbox) -> None:
    ending = call(sandbox, "echo", value="x" * 3_000_000)
    assert isinstance(ending, Returned)
    assert len(ending.value) == 3_000_000


def test_an_argument_that_cannot_travel_is_refused_before_anything_starts(sandbox: Sandbox) -> None:
    with pytest.raises(TypeError, match=r"arguments for isolation_targets:echo: a builtins\.object cannot be sent"):
        call(sandbox, "echo", value=object())


def test_a_target_without_a_function_is_refused(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match=r"expected 'package\.module:function'"):
        sandbox.run("isolation_targets", {})


def test_an_exception_comes_back_as_text_with_its_frames(sandbox: Sandbox) -> None:
    ending = call(sandbox, "raise_homemade")
    assert isinstance(ending, ChildRaised)
    assert (ending.type, ending.message) == ("isolation_targets.HomemadeError", "made at home: тест")
    (frame,) = ending.frames
    assert Path(frame.file).name == "isolation_targets.py"
    assert (frame.function, frame.code) == ("raise_homemade", 'raise HomemadeError("made at home: тест")')
    assert frame.line > 1
    assert ending.traceback.rstrip().endswith("isolation_targets.HomemadeError: made at home: тест")
    assert ending.traceback.count("File ") == 1


def test_the_cause_of_an_exception_is_in_its_traceback(sandbox: Sandbox) -> None:
    ending = call(sandbox, "raise_from_a_cause")
    assert isinstance(ending, ChildRaised)
    assert ending.type == "ValueError"
    assert "KeyError: 'pixel_values'" in ending.traceback


def test_an_exception_that_cannot_be_put_into_words_is_named(sandbox: Sandbox) -> None:
    ending = call(sandbox, "raise_mute")
    assert isinstance(ending, ChildRaised)
    assert ending.type == "isolation_targets.MuteError"
    assert "raised RuntimeError" in ending.message
    assert ending.frames[-1].function == "raise_mute"


def test_a_message_that_is_long_and_no_utf_8_is_cut_and_cleaned(sandbox: Sandbox) -> None:
    ending = call(sandbox, "raise_with_a_lone_surrogate")
    assert isinstance(ending, ChildRaised)
    assert ending.message.startswith("? ? ")
    assert "characters left out" in ending.message


def test_an_endless_recursion_keeps_both_ends_of_its_frames(sandbox: Sandbox) -> None:
    ending = call(sandbox, "recurse")
    assert isinstance(ending, ChildRaised)
    assert ending.type == "RecursionError"
    assert len(ending.frames) == 100


def test_a_module_that_is_missing_is_an_exception_of_the_child(sandbox: Sandbox) -> None:
    ending = sandbox.run("no_such_module:function", {})
    assert isinstance(ending, ChildRaised)
    assert ending.type == "ModuleNotFoundError"
    assert "no_such_module" in ending.message


def test_sys_exit_is_reported_with_its_place(sandbox: Sandbox) -> None:
    ending = call(sandbox, "leave_politely")
    assert isinstance(ending, ChildRaised)
    assert (ending.type, ending.message) == ("SystemExit", "0")
    assert ending.frames[-1].code == "sys.exit(0)"


# ---- violent ends


@pytest.mark.parametrize("status", [0, 3, 113])
def test_an_exit_without_an_answer_is_no_success(sandbox: Sandbox, status: int) -> None:
    ending = call(sandbox, "leave_with_status", status=status)
    assert isinstance(ending, Died)
    if status != 113:
        assert ending.reason == f"exited with status {status} without returning"


def test_a_segmentation_fault_is_named_and_its_last_words_are_kept(sandbox: Sandbox) -> None:
    ending = call(sandbox, "crash")
    assert isinstance(ending, Died)
    assert ending.reason == "was killed by signal 11 (SIGSEGV)"
    assert ending.output == "just before the crash\n"


def test_a_kill_is_named(sandbox: Sandbox) -> None:
    ending = call(sandbox, "kill_itself")
    assert isinstance(ending, Died)
    assert ending.reason == "was killed by signal 9 (SIGKILL)"


@pytest.mark.parametrize("name", ["loop", "deadlock"])
def test_what_never_ends_is_stopped_at_the_limit(sandbox: Sandbox, name: str) -> None:
    begin = time.monotonic()
    ending = call(sandbox, name, Limits(seconds=0.5))
    assert isinstance(ending, Died)
    assert ending.reason == "exceeded 0.5 s and was stopped"
    assert ending.seconds >= 0.5
    assert time.monotonic() - begin < 4


@linux_only
def test_a_child_that_kills_the_process_above_it_does_not_take_the_run_down() -> None:
    with Sandbox(preload=(), path=[HERE], limits=Limits(seconds=10), closed=False) as sandbox:
        ending = call(sandbox, "kill_its_parent")
        assert isinstance(ending, Died)
        assert ending.reason == "lost the warm process it was forked from, which was killed by signal 9 (SIGKILL)"
        assert isinstance(call(sandbox, "add", a=1, b=2), Returned)


@pytest.mark.slow
@linux_only
def test_a_child_that_halts_the_process_above_it_is_stopped_all_the_same(others: set[int]) -> None:
    with Sandbox(preload=(), path=[HERE], limits=Limits(seconds=0.5), closed=False) as sandbox:
        ending = call(sandbox, "stop_its_parent")
        assert isinstance(ending, Died)
        assert ending.reason == "exceeded 0.5 s and was stopped"
        assert isinstance(call(sandbox, "add", a=1, b=2), Returned)
    assert wait_until(lambda: not set(find_descendants(os.getpid())) - others)


# ---- processes left behind


@linux_only
def test_the_children_of_a_child_end_with_it(sandbox: Sandbox, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    ending = call(sandbox, "start_many", file=str(notes), count=40)
    assert isinstance(ending, Returned)
    pids = [int(line) for line in notes.read_text(encoding="utf-8").split()]
    assert len(pids) == 40
    assert wait_until(lambda: not any(map(lives, pids)))


@linux_only
def test_too_many_processes_are_stopped(sandbox: Sandbox, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    begin = time.monotonic()
    ending = call(sandbox, "share_out_memory", Limits(processes=10, seconds=20), each=1, count=60)
    assert isinstance(ending, Died)
    assert ending.reason == "exceeded 10 processes and was stopped"
    assert time.monotonic() - begin < 10
    assert not notes.exists()


@linux_only
def test_a_process_that_left_for_a_session_of_its_own_is_ended_too(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    with Sandbox(preload=(), path=[HERE], closed=False) as sandbox:
        assert isinstance(call(sandbox, "start_daemon", file=str(notes)), Returned)
        assert wait_until(lambda: not lives(int(notes.read_text(encoding="utf-8"))))


def test_a_copy_of_the_child_does_not_answer_for_it(sandbox: Sandbox) -> None:
    ending = call(sandbox, "answer_twice")
    assert isinstance(ending, Returned)
    assert ending.value == 1


@linux_only
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_nothing_outlives_us_when_we_are_killed(method: str, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    script = (
        "import sys\nfrom pathlib import Path\nfrom preflight_ocr.harness.isolation import Sandbox\n"
        f"with Sandbox(preload=(), start_method={method!r}, path=[Path({str(HERE)!r})], closed=False) as sandbox:\n"
        f"    job = sandbox.submit('isolation_targets:start_many', {{'file': {str(notes)!r}, 'count': 3}})\n"
        "    sandbox.run('isolation_targets:sleep', {'seconds': 60})\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], env=with_our_path())
    try:
        assert wait_until(
            lambda: notes.exists() and len(notes.read_text().split()) == 3 and find_descendants(process.pid)
        )
        started = find_descendants(process.pid)
    finally:
        process.kill()
        process.wait()
    assert started
    assert wait_until(lambda: not any(map(lives, started)))


@linux_only
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_ctrl_c_ends_every_child(method: str) -> None:
    script = (
        "from pathlib import Path\nfrom preflight_ocr.harness.isolation import Sandbox\n"
        f"with Sandbox(preload=(), start_method={method!r}, path=[Path({str(HERE)!r})]) as sandbox:\n"
        "    job = sandbox.submit('isolation_targets:loop', {})\n    print('under way', flush=True)\n    job.result()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], env=with_our_path(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "under way\n"
    least = 2 if method == "fork" else 1
    assert wait_until(lambda: len(find_descendants(process.pid)) >= least)
    started = find_descendants(process.pid)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=10)
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert wait_until(lambda: not any(map(lives, started)))


def with_our_path() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(place for place in sys.path if place)}


# ---- memory, disk, output


@linux_only
def test_an_allocation_beyond_the_limit_fails_in_the_child(sandbox: Sandbox) -> None:
    ending = call(sandbox, "take_bytes", Limits(memory_bytes=2**30), size=30 * 2**30)
    assert isinstance(ending, ChildRaised)
    assert ending.type == "MemoryError"
    assert ending.frames[-1].function == "take_bytes"


@linux_only
def test_memory_that_the_whole_family_takes_is_counted(sandbox: Sandbox) -> None:
    limits = Limits(memory_bytes=300 * 2**20)
    ending = call(sandbox, "share_out_memory", limits, each=150 * 2**20, count=4)
    assert isinstance(ending, Died)
    assert ending.reason == "exceeded 300.0 MiB of memory and was stopped"


def _read_memory(name: str) -> int:
    """A line of the kernel's account of this process, in KiB: VmRSS is what it has, VmHWM the most it had."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])


@linux_only
def test_a_flood_of_output_is_cut_in_the_middle_and_does_not_fill_memory(sandbox: Sandbox) -> None:
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the peak of earlier tests would hide this one's
    before = _read_memory("VmRSS")
    ending = call(sandbox, "flood", Limits(output_bytes=2**16, seconds=60), size=2**30)
    assert isinstance(ending, Returned)
    assert ending.value == "done"
    assert ending.output.startswith("the beginning\nxxx")
    assert f"\n[... {2**30 + 22 - 2**16} bytes left out ...]\nxxx" in ending.output
    assert ending.output.endswith("xxxthe end\n")
    assert len(ending.output) < 2**16 + 100
    assert _read_memory("VmHWM") - before < 50_000


def test_output_is_caught_whoever_writes_it(sandbox: Sandbox) -> None:
    ending = call(sandbox, "print_from_everywhere")
    assert isinstance(ending, Returned)
    assert sorted(ending.output.split("\n")) == ["", "descriptor \ufffd", "library", "process", "python"]


def test_a_file_beyond_the_limit_cannot_be_written(sandbox: Sandbox, tmp_path: Path) -> None:
    file = tmp_path / "large"
    ending = call(sandbox, "write_file", Limits(file_bytes=2**20), file=str(file), size=2**23)
    assert isinstance(ending, ChildRaised)
    assert "File too large" in ending.message
    assert file.stat().st_size <= 2**20


def test_reading_the_standard_input_finds_nothing(sandbox: Sandbox) -> None:
    ending = call(sandbox, "read_input")
    assert isinstance(ending, Returned)
    assert ending.value == ""


# ---- the way back


def test_a_child_that_closes_everything_is_understood(sandbox: Sandbox) -> None:
    ending = call(sandbox, "close_everything")
    assert isinstance(ending, Died)
    assert ending.reason.startswith("closed the channel that its result travels on")


def test_no_answer_is_written_into_a_file_that_took_the_place_of_the_channel(sandbox: Sandbox, tmp_path: Path) -> None:
    file = tmp_path / "note"
    ending = call(sandbox, "replace_everything", file=str(file))
    assert isinstance(ending, Died)
    assert file.read_bytes() == b""


def test_noise_in_the_channel_is_no_result(sandbox: Sandbox) -> None:
    ending = call(sandbox, "write_into_every_descriptor")
    assert isinstance(ending, Died)
    assert ending.reason == "sent back something that is no result and was stopped"


def test_a_value_that_cannot_be_sent_is_named(sandbox: Sandbox) -> None:
    ending = call(sandbox, "return_object")
    assert isinstance(ending, Died)
    assert ending.reason == "returned a value that cannot be sent back: a _thread.lock cannot be sent between processes"


def test_a_value_that_contains_itself_is_no_result(sandbox: Sandbox) -> None:
    ending = call(sandbox, "return_itself")
    assert isinstance(ending, Died)
    assert ending.reason.startswith("returned a value that cannot be sent back")


def test_a_result_beyond_the_limit_is_not_taken(sandbox: Sandbox) -> None:
    limits = Limits(result_bytes=2**20)
    assert isinstance(call(sandbox, "return_much", limits, size=2**20 - 100), Returned)
    for size in (2**20 + 100, 2**26):
        ending = call(sandbox, "return_much", limits, size=size)
        assert isinstance(ending, Died)
        assert ending.reason == "returned more than 1.0 MiB and was stopped"


def test_patched_builtins_keep_no_answer_back(sandbox: Sandbox) -> None:
    ending = call(sandbox, "patch_builtins")
    assert isinstance(ending, Returned)
    assert ending.value == "patched"


def test_an_exception_after_patching_builtins_still_gives_a_clear_ending(sandbox: Sandbox) -> None:
    ending = call(sandbox, "patch_builtins_and_raise")
    assert isinstance(ending, ChildRaised | Died)
    if isinstance(ending, Died):
        assert "broke its own interpreter" in ending.reason


# ---- the sandbox itself


def test_two_calls_run_side_by_side(sandbox: Sandbox) -> None:
    begin = time.monotonic()
    jobs = [sandbox.submit("isolation_targets:sleep", {"seconds": 1.0}) for _ in range(3)]
    assert all(isinstance(job.result(), Returned) for job in jobs)
    assert time.monotonic() - begin < 2.5


def test_a_cancelled_call_is_stopped(sandbox: Sandbox) -> None:
    job = sandbox.submit("isolation_targets:sleep", {"seconds": 60})
    job.cancel()
    ending = job.result()
    assert isinstance(ending, Died)
    assert ending.reason == "was stopped before its end, as asked"


@pytest.mark.parametrize("method", METHODS)
def test_leaving_the_sandbox_stops_what_still_runs(method: str) -> None:
    with Sandbox(preload=(), start_method=method, path=[HERE]) as sandbox:  # type: ignore[arg-type]
        job = sandbox.submit("isolation_targets:loop", {})
    assert isinstance(job.result(), Died)
    with pytest.raises(RuntimeError, match="the sandbox is closed"):
        sandbox.run("isolation_targets:add", {"a": 1, "b": 2})


def test_the_path_and_the_environment_are_those_of_the_child_alone() -> None:
    with Sandbox(preload=(), path=[HERE], environment={"PREFLIGHT_WORD": "heard"}) as sandbox:
        ending = call(sandbox, "get_environment", name="PREFLIGHT_WORD")
        path = call(sandbox, "find_path")
    assert isinstance(ending, Returned) and ending.value == "heard"
    assert "PREFLIGHT_WORD" not in os.environ
    assert isinstance(path, Returned) and path.value[0] == str(HERE.resolve())
    assert path.value[1:] == [place for place in sys.path if place]


@pytest.mark.parametrize("method", METHODS)
def test_a_broken_preload_is_reported_and_not_fatal(method: str, tmp_path: Path) -> None:
    with Sandbox(preload=("json", "no_such_module"), start_method=method, path=[HERE]) as sandbox:  # type: ignore[arg-type]
        assert isinstance(call(sandbox, "add", a=1, b=2), Returned)
        assert sandbox.preloaded == {
            "json": "ok",
            "no_such_module": "ModuleNotFoundError: No module named 'no_such_module'",
        }


@linux_only
def test_a_preload_that_crashes_makes_the_sandbox_unavailable_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = "import ctypes\nprint('loading', flush=True)\nctypes.string_at(0)\n"
    (tmp_path / "crashing_module.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    with Sandbox(preload=("json", "crashing_module")) as sandbox:
        with pytest.raises(
            SandboxUnavailable, match=r"killed by signal 11 \(SIGSEGV\) while importing crashing_module"
        ):
            sandbox.run("json:loads", {"s": "1"})
        with pytest.raises(SandboxUnavailable, match="It printed: loading"):
            assert sandbox.preloaded


@linux_only
def test_a_tensor_beyond_the_limit_fails_and_torch_keeps_to_one_thread() -> None:
    with Sandbox(preload=("torch",), path=[HERE]) as sandbox:
        assert sandbox.preloaded == {"torch": "ok"}
        threads = call(sandbox, "count_threads")
        tensor = call(sandbox, "take_tensor", size=30 * 2**30)
        small = call(sandbox, "take_tensor", size=2**20)
    assert isinstance(threads, Returned) and threads.value == [1, 1]
    assert isinstance(tensor, ChildRaised) and "allocate memory" in tensor.message
    assert isinstance(small, Returned) and small.value == 2**20
