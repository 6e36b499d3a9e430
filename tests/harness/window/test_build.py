"""Small wheels of our own, built into an index and asked."""

from __future__ import annotations

import zipfile
from pathlib import Path
from textwrap import dedent

import msgspec
import pytest

from harness.window.build import Wheels, index, write
from harness.window.judging import Judge
from harness.window.releases import Index, Indexed, Release
from harness.window.uses import Use

FIRST = {
    "__init__.py": """
        from .caches import Cache
        from .rest import *
    """,
    "caches.py": """
        class Cache:
            def __init__(self, config, size=1, **kwargs):
                self.seen = kwargs.pop("seen", 0)
            def get_max_length(self): ...
        class DynamicCache(Cache): ...
    """,
    "rest.py": """
        __all__ = ["listed"]
        def listed(a, *, b=1): ...
        def unlisted(): ...
    """,
    "convert_weights.py": "import torch",
    "broken.py": "def f(:",
}
SECOND = {
    **FIRST,
    "caches.py": """
        class Cache:
            def __init__(self, config, length=1): ...
            def __getattr__(self, name):
                if name == "served":
                    return 1
                raise AttributeError(name)
        class DynamicCache(Cache): ...
    """,
}


def make_wheel(folder: Path, version: str, files: dict[str, str]) -> Path:
    path = folder / f"peft-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(f"peft/{name}", dedent(text))
        archive.writestr(f"peft-{version}.dist-info/METADATA", "Name: peft\n")
    return path


def build(folder: Path) -> Indexed:
    wheels = Wheels("peft")
    releases = {
        "1.0.0": wheels.read(make_wheel(folder, "1.0.0", FIRST)),
        "1.1.0": wheels.read(make_wheel(folder, "1.1.0", SECOND)),
    }
    return index("peft", releases)


@pytest.fixture
def releases(tmp_path: Path) -> tuple[Release, ...]:
    return Index("peft", build(tmp_path)).releases


def judge(release: Release, use: Use) -> list[tuple[str, str]]:
    return [(ruling.status, ruling.symbol) for ruling in Judge(release, {}, {}).judge(use)]


def ask(release: Release, kind: str, target: str, name: str | None, **more: object) -> list[tuple[str, str]]:
    site = {"file": "a.py", "line": 1, "code": ""}
    values = {"kind": kind, "package": "peft", "target": target, "name": name, "site": site, "function": None, **more}
    return judge(release, msgspec.convert(values, Use))


def test_names_are_found_where_they_are_defined_taken_in_and_listed(releases: tuple[Release, ...]) -> None:
    for release in releases:
        assert release.resolve("peft", "Cache")[0] == "found"
        assert release.resolve("peft", "listed")[0] == "found"
        assert release.resolve("peft", "unlisted")[0] == "missing name"
        assert release.resolve("peft.gone", "x")[0] == "missing module"


def test_a_script_that_was_left_out_of_the_index_is_not_called_missing(releases: tuple[Release, ...]) -> None:
    assert releases[0].resolve("peft.convert_weights", None)[0] == "undecided"


def test_a_method_that_goes_in_the_second_release_is_missing_there_alone(releases: tuple[Release, ...]) -> None:
    asked = [ask(r, "member", "peft.caches.DynamicCache", "get_max_length") for r in releases]
    assert [answer[0][0] for answer in asked] == ["fits", "missing"]


def test_what_a_getattr_serves_by_name_is_found_and_nothing_else(releases: tuple[Release, ...]) -> None:
    assert ask(releases[1], "member", "peft.Cache", "served")[0][0] == "fits"
    assert ask(releases[1], "member", "peft.Cache", "other_name")[0][0] == "missing"


def test_a_renamed_parameter_and_a_required_one_are_told_apart(releases: tuple[Release, ...]) -> None:
    first, second = (ask(r, "call", "peft.Cache", "__init__", keywords=["size"], positional=0) for r in releases)
    assert first == [("fits", "Cache(size=)"), ("missing", "Cache(config)")]
    assert second == [("missing", "Cache(size=)"), ("missing", "Cache(config)")]


def test_a_keyword_taken_out_of_kwargs_is_named_and_any_other_is_undecided(releases: tuple[Release, ...]) -> None:
    answers = ask(releases[0], "call", "peft.Cache", "__init__", keywords=["seen", "other"])
    assert answers == [("fits", "Cache(seen=)"), ("undecided", "Cache(other=)")]


def test_building_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    paths = (tmp_path / "one.xz", tmp_path / "two.xz")
    sizes = [write(build(tmp_path), path) for path in paths]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert sizes[0] == paths[0].stat().st_size
