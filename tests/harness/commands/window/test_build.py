"""Small wheels of our own, built into an index and asked."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path
from textwrap import dedent

import msgspec
import pytest
from click.testing import CliRunner

from preflight_ocr.harness.cli import preflight
from preflight_ocr.harness.commands.window.build import Wheels, extend, index, write
from preflight_ocr.harness.commands.window.judging import Judge
from preflight_ocr.harness.commands.window.releases import INDEX, Index, Indexed, Release, read_index
from preflight_ocr.harness.commands.window.update import UpdateError, update
from preflight_ocr.harness.commands.window.uses import Use
from preflight_ocr.probes.reading.definitions import ModuleNames

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
    return index(releases)


@pytest.fixture
def releases(tmp_path: Path) -> tuple[Release, ...]:
    return Index("peft", build(tmp_path)).releases


def judge(release: Release, use: Use) -> list[tuple[str, str]]:
    return [(ruling.status, ruling.symbol) for ruling in Judge(release, {}, {}).judge(use)]


def ask(release: Release, kind: str, target: str, name: str | None, **more: object) -> list[tuple[str, str]]:
    site = {"file": "a.py", "line": 1, "code": "", "kind": "", "runs": None}
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


THIRD = {
    "__init__.py": "from .caches import Cache",
    "caches.py": "class Cache:\n    def __init__(self, config, room=1): ...",
}


def read_all(folder: Path, **files: dict[str, str]) -> dict[str, dict[str, ModuleNames]]:
    wheels = Wheels("peft")
    versions = {name.replace("_", ".").removeprefix("v"): texts for name, texts in files.items()}
    return {version: wheels.read(make_wheel(folder, version, texts)) for version, texts in versions.items()}


def test_an_index_that_is_extended_is_the_one_that_is_built_at_once(tmp_path: Path) -> None:
    releases = read_all(tmp_path, v1_0_0=FIRST, v1_1_0=SECOND, v1_2_0=THIRD)
    early = index({version: releases[version] for version in ("1.0.0", "1.1.0")})
    assert extend(early, {"1.2.0": releases["1.2.0"]}) == index(releases)


def test_a_newer_patch_takes_the_place_of_the_older_one(tmp_path: Path) -> None:
    releases = read_all(tmp_path, v1_0_0=FIRST, v1_1_0=SECOND, v1_1_1=THIRD)
    early = index({version: releases[version] for version in ("1.0.0", "1.1.0")})
    later = extend(early, {"1.1.1": releases["1.1.1"]})
    assert later == index({version: releases[version] for version in ("1.0.0", "1.1.1")})


def test_a_release_that_is_not_newer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"goes to 1\.1\.0"):
        extend(build(tmp_path), {"1.0.9": {}})


@pytest.mark.parametrize("package", ["peft", "accelerate"])
def test_the_committed_index_taken_apart_and_put_together_is_itself(package: str) -> None:
    known = read_index(INDEX / f"{package}.msgpack.xz")
    assert extend(known, {}) == known


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an index of two releases of peft, and a package index that has a third."""
    write(build(tmp_path), tmp_path / "peft.msgpack.xz")
    monkeypatch.setattr(
        "preflight_ocr.harness.commands.window.update.list_releases", lambda package: ("1.0.0", "1.1.0", "1.2.0")
    )
    monkeypatch.setattr(
        "preflight_ocr.harness.commands.window.update.fetch",
        lambda package, version, folder: make_wheel(folder, version, THIRD),
    )
    return tmp_path


def test_an_update_adds_what_is_newer_and_nothing_the_second_time(shelf: Path) -> None:
    [done] = update(["peft"], folder=shelf)
    assert (done.added, done.dropped, done.newest, done.count) == (("1.2.0",), (), "1.2.0", 3)
    releases = Index("peft", read_index(shelf / "peft.msgpack.xz")).releases
    answers = [ask(r, "call", "peft.Cache", "__init__", keywords=["room"], positional=1) for r in releases]
    assert [answer[0][0] for answer in answers] == ["undecided", "missing", "fits"]
    [again] = update(["peft"], folder=shelf)
    assert again.added == ()


def test_a_package_index_that_cannot_be_asked_is_said_in_one_line(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(package: str) -> tuple[str, ...]:
        raise subprocess.CalledProcessError(1, "pip", stderr="WARNING: retrying\nERROR: no route to host\n")

    monkeypatch.setattr("preflight_ocr.harness.commands.window.update.list_releases", fail)
    with pytest.raises(UpdateError, match="peft: the package index cannot be asked: ERROR: no route to host"):
        update(["peft"], folder=shelf)


def test_the_command_says_what_was_added(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(update, "__kwdefaults__", {**update.__kwdefaults__, "folder": shelf})
    ended = CliRunner().invoke(preflight, ["index", "update", "--package", "peft"])
    assert ended.exit_code == 0
    assert ended.stdout == "peft: 1.2.0 added; 3 releases, up to 1.2.0\n"
