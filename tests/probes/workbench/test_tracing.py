from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

import pytest
import torch

from preflight_ocr import probes
from preflight_ocr.harness.facts import Raised
from preflight_ocr.harness.home import find_installed_places
from preflight_ocr.probes.workbench.tracing import attempt, is_foreign


@pytest.mark.parametrize(
    ("path", "foreign"),
    [
        (torch.__file__, False),
        (str(Path(sysconfig.get_path("stdlib")) / "json" / "decoder.py"), False),
        (str(Path(probes.__file__).parent / "tracing.py"), False),
        (str(Path(probes.__file__).parents[1] / "fixtures" / "corpus" / "plant.py"), True),
        ("/home/somebody/train.py", True),
        ("<frozen importlib._bootstrap>", False),
        ("<string>", False),
        (str(Path(torch.__file__).parents[1] / "transformers_modules" / "model" / "modeling.py"), True),
    ],
)
def test_what_belongs_to_nobody_else_is_foreign(path, foreign):
    assert is_foreign(Path(path)) is foreign


@pytest.mark.parametrize("folder", ["site-packages", "dist-packages"])
def test_packages_of_another_folder_that_python_looks_in_are_nobody_elses(tmp_path, monkeypatch, folder):
    """An environment made with --system-site-packages, and a container whose system has installed torch."""
    monkeypatch.syspath_prepend(str(tmp_path / folder))
    find_installed_places.cache_clear()
    try:
        assert not is_foreign(tmp_path / folder / "torch" / "nn.py")
        assert is_foreign(tmp_path / "train.py")
    finally:
        find_installed_places.cache_clear()


def test_a_value_comes_back_as_it_is():
    assert attempt(lambda: 3) == 3


def test_the_place_is_the_innermost_foreign_line_and_not_the_library_below_it(tmp_path, monkeypatch):
    source = "import json\n\n\ndef load():\n    return json.loads('{')  # theirs\n"
    (tmp_path / "users_part.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    import users_part

    raised = attempt(users_part.load)
    assert isinstance(raised, Raised)
    assert raised.type == "JSONDecodeError"
    assert (raised.site.file, raised.site.line) == ("users_part.py", 5)
    assert raised.site.code == "return json.loads('{')  # theirs"
    sys.modules.pop("users_part")


def test_a_long_message_is_cut():
    def shout():
        raise ValueError("x" * 5000)

    assert len(attempt(shout).message) < 700


def test_an_exception_that_cannot_be_printed_is_told_by_its_type():
    class Mute(Exception):
        def __str__(self):
            raise RuntimeError("no words")

    def fail():
        raise Mute

    assert attempt(fail).type == "Mute"


def test_an_interrupt_is_not_swallowed():
    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attempt(stop)


def test_foreign_code_that_ends_the_interpreter_is_told_as_what_it_raised():
    assert attempt(lambda: sys.exit(3)).type == "SystemExit"
