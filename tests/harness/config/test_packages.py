"""What is said where a package is absent."""

from __future__ import annotations

import sys

import pytest

from preflight_ocr.harness.config import packages
from preflight_ocr.harness.config.packages import PackageAbsent, find_absent, require, tell_absent


def test_one_absent_package_is_named_with_its_own_command(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert tell_absent("opening an image", ("PIL", "json")) == (
        "opening an image needs pillow, which is not installed here; type `pip install pillow`"
    )


def test_several_are_named_with_the_extra(monkeypatch) -> None:
    monkeypatch.setattr(packages, "_is_installed", lambda module: module == "numpy")
    assert tell_absent("training", ("torch", "numpy", "peft")) == (
        'training needs torch and peft, which are not installed here; type `pip install "preflight-ocr[train]"`'
    )


def test_nothing_is_said_where_all_are_there() -> None:
    assert tell_absent("anything", ("json", "click")) == ""
    require("anything", ("json", "click"))


def test_a_folder_of_that_name_without_code_is_no_installation(monkeypatch, tmp_path) -> None:
    (tmp_path / "no_such_library").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert find_absent(("no_such_library",)) == ("no_such_library",)
    with pytest.raises(PackageAbsent, match="type `pip install no_such_library`"):
        require("anything", ("no_such_library",))
