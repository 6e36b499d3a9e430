"""Environments that share packages: wheels of our own making, installed offline."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from preflight_ocr.harness.commands.matrix import overlay
from preflight_ocr.harness.commands.matrix.cells import VARIED


def make_wheel(folder: Path, version: str) -> Path:
    """A wheel of one module, `preflight_probe_package`, whose `VERSION` it is."""
    path = folder / f"preflight_probe_package-{version}-py3-none-any.whl"
    info = f"preflight_probe_package-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("preflight_probe_package.py", f"VERSION = {version!r}\n")
        wheel.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: preflight-probe-package\nVersion: {version}\n"
        )
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    return path


def ask(python: Path, program: str) -> str:
    done = subprocess.run([str(python), "-c", program], capture_output=True, encoding="utf-8", check=False)
    return done.stdout.strip() or done.stderr.strip().rpartition("\n")[2]


VERSION = "import preflight_probe_package as p; print(p.VERSION)"


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    return overlay.share(tmp_path / "root", [str(make_wheel(tmp_path, "1.0"))])


def test_what_is_shared_is_found_and_what_a_cell_installs_comes_first(tmp_path, shared):
    python = overlay.make_environment(tmp_path / "cell", shared)
    assert ask(python, VERSION) == "1.0"
    assert overlay.install(["--no-index", str(make_wheel(tmp_path, "2.0"))], python=python) == ""
    assert ask(python, VERSION) == "2.0"
    assert ask(python, "from importlib.metadata import version; print(version('preflight-probe-package'))") == "2.0"
    assert ask(overlay.make_environment(tmp_path / "other", shared), VERSION) == "1.0"


def test_what_is_shared_satisfies_a_cell_that_asks_for_it(tmp_path, shared):
    python = overlay.make_environment(tmp_path / "cell", shared)
    assert overlay.install(["--no-index", "preflight-probe-package>=1"], python=python) == ""
    assert ask(python, "import preflight_probe_package as p; print(p.__file__)").startswith(str(shared))


def test_an_environment_sees_nothing_of_the_one_that_made_it_but_what_is_shared(tmp_path, shared):
    python = overlay.make_environment(tmp_path / "cell", shared)
    assert "No module named 'pytest'" in ask(python, "import pytest")


def test_what_cannot_be_installed_gives_pips_reason(tmp_path, shared):
    python = overlay.make_environment(tmp_path / "cell", shared)
    reason = overlay.install(["--no-index", "preflight-probe-package==3"], python=python)
    assert "No matching distribution found for preflight-probe-package==3" in reason


def test_the_shared_folder_is_made_once_for_one_set_of_pins(tmp_path, shared):
    wheel = str(tmp_path / "preflight_probe_package-1.0-py3-none-any.whl")
    marker = shared / "untouched"
    marker.touch()
    assert overlay.share(tmp_path / "root", [wheel]) == shared
    assert marker.exists()
    assert overlay.share(tmp_path / "root", [str(make_wheel(tmp_path, "2.0"))]) != shared


def test_a_shared_folder_that_could_not_be_made_leaves_nothing_behind(tmp_path):
    with pytest.raises(RuntimeError, match="Invalid requirement"):
        overlay.share(tmp_path / "root", ["no such requirement"])
    assert list((tmp_path / "root").iterdir()) == []


def test_pins_are_read_without_what_varies(tmp_path):
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("# a set\ntorch==2.13.0\nhuggingface_hub==2.4.0\npeft==0.21.2\npillow==13.0.0\n", "utf-8")
    assert overlay.read_pins(constraints, VARIED) == ["torch==2.13.0", "pillow==13.0.0"]


class TestAsToxRunsIt:
    @pytest.fixture
    def run(self, tmp_path):
        """The program inside an environment that has nothing but pip, as tox makes them."""
        python = overlay.make_environment(tmp_path / "cell", Path(overlay.__file__).parent)  # shares nothing of use
        wheel = make_wheel(tmp_path, "1.0")
        constraints = tmp_path / "constraints.txt"
        constraints.write_text("", "utf-8")
        subprocess.run([str(python), "-m", "ensurepip"], check=True, capture_output=True)

        def invoke(*packages: str) -> tuple[int, dict]:
            log = tmp_path / "installed.json"
            words = ["--root", str(tmp_path / "root"), "--constraints", str(constraints), "--vary", "torch"]
            done = subprocess.run(
                [str(python), overlay.__file__, *words, "--log", str(log), "--no-index", *packages], check=False
            )
            return done.returncode, json.loads(log.read_text("utf-8"))

        return invoke, python, wheel

    def test_a_package_is_installed_and_the_seconds_are_noted_and_added_up(self, run):
        invoke, python, wheel = run
        code, noted = invoke(str(wheel))
        assert (code, noted["reason"]) == (0, "")
        assert ask(python, VERSION) == "1.0"
        again = invoke("preflight-probe-package")[1]
        assert again["seconds"] > noted["seconds"] > 0

    @pytest.mark.slow
    def test_a_failure_is_noted_and_fails_nothing_and_nothing_is_tried_after_it(self, run):
        invoke, python, wheel = run
        code, noted = invoke("preflight-probe-package==3")
        assert code == 0
        assert "No matching distribution" in noted["reason"]
        assert invoke(str(wheel)) == (0, noted)
        assert "No module named" in ask(python, VERSION)


@pytest.mark.skipif(sys.platform == "win32", reason="the path of the standard library's tests differs there")
def test_the_program_needs_nothing_but_python():
    done = subprocess.run(
        [sys.executable, "-I", "-S", overlay.__file__, "--help"], capture_output=True, check=False, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
