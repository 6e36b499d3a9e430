"""The order of the house: who may import whom, read from the source, and what an import brings in, seen in a fresh process.

`FLOORS` is the order from the ground up. A file may import its own room and the rooms below it, never one on its own
floor or above. There is no list of exceptions.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.support.places import ROOT

FLOORS = (
    ("harness/__init__", "harness/home", "harness/atomic", "harness/state", "harness/launched", "harness/foreign"),
    ("harness/facts",),
    ("harness/config",),
    ("harness/isolation",),
    ("harness/families",),
    ("harness/memory", "harness/judging"),
    ("harness/diagnoses",),
    ("harness/verdict",),
    ("harness/training",),
    ("harness/holding",),
    ("fixtures/__init__", "fixtures/pages", "fixtures/remote"),
    ("fixtures/native",),
    ("probes/__init__", "probes/reading"),
    ("probes/workbench",),
    ("probes/batch", "probes/placement"),
    ("probes/forward",),
    ("probes/learning",),
    ("probes/rehearsal", "probes/accelerator"),
    ("fixtures/corpus",),
    ("harness/check",),
    ("harness/commands/__init__", "harness/commands/window", "harness/commands/memory", "harness/commands/triage"),
    ("harness/commands/start",),
    ("harness/commands/fuzz", "harness/commands/bench", "harness/commands/contract_tests", "harness/commands/demo"),
    ("harness/commands/trained", "harness/commands/prepare"),
    ("harness/commands/matrix", "harness/commands/corpus"),
    ("reports",),
    ("harness/cli", "harness/plugin"),
    ("harness/public",),
    ("docs",),
)
FOLDERS = ("harness", "probes", "reports", "fixtures", "docs")
HEAVY = {"torch", "transformers", "peft", "PIL", "numpy", "accelerate", "torchvision", "safetensors"}
LIGHT_MODULES = (
    "preflight_ocr",
    "preflight_ocr.harness.cli",
    "preflight_ocr.harness.plugin",
    "preflight_ocr.harness.diagnoses",
    "preflight_ocr.harness.verdict.contracts",
    "preflight_ocr.harness.verdict.gate",
)
PREFIX = "preflight_ocr."


def _list_sources(root: Path = ROOT) -> dict[str, Path]:
    """Every module of ours as `harness/check/trust` -> its file. The miniatures' own code is somebody else's."""
    found = (path for folder in FOLDERS for path in (root / folder).rglob("*.py"))
    named = {path.relative_to(root).with_suffix("").as_posix(): path for path in found}
    return {name: path for name, path in named.items() if not name.startswith("fixtures/models/")}


def _list_imports(name: str, path: Path) -> Iterator[str]:
    """Every dotted name that a file imports anywhere, `from a import b` as `a.b`, relative imports resolved."""
    package = ("preflight_ocr", *name.split("/")[:-1])
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*parents, *filter(None, [node.module])))
            yield from (f"{module}.{alias.name}" for alias in node.names)


def _find_module(dotted: str, sources: Mapping[str, Path]) -> str | None:
    """The module of ours that a dotted name is, or lies in; None for anybody else's."""
    name = dotted.removeprefix(PREFIX).replace(".", "/")
    if not dotted.startswith((PREFIX, "docs.")):
        return None
    while name:
        for candidate in (name, f"{name}/__init__"):
            if candidate in sources:
                return candidate
        name = name.rpartition("/")[0]
    return None


def _draw_arrows(sources: Mapping[str, Path]) -> dict[str, set[str]]:
    """Module -> the modules of ours that it imports."""
    arrows = {}
    for name, path in sources.items():
        found = {_find_module(dotted, sources) for dotted in _list_imports(name, path)}
        arrows[name] = {other for other in found if other is not None and other != name}
    return arrows


def _find_room(name: str) -> tuple[int, str]:
    """(floor, room) of a module."""
    rooms = [(floor, room) for floor, rooms in enumerate(FLOORS) for room in rooms]
    mine = [(floor, room) for floor, room in rooms if name == room or name.startswith(f"{room}/")]
    assert mine, f"{name} stands in no room: put it into FLOORS"
    return max(mine, key=lambda found: len(found[1]))


def test_no_arrow_runs_back_up() -> None:
    up = []
    for name, others in _draw_arrows(_list_sources()).items():
        floor, room = _find_room(name)
        for other in others:
            below, its_room = _find_room(other)
            if room != its_room and below >= floor:
                up.append(f"{name} imports {other}")
    assert up == []


def test_no_two_modules_import_each_other_not_even_around_a_corner() -> None:
    # An __init__ that gathers its package's names is imported before any of them, whoever asks.
    arrows = {name: others for name, others in _draw_arrows(_list_sources()).items() if not name.endswith("/__init__")}
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(error.args[1])}")


def test_every_room_of_the_order_is_there() -> None:
    sources = _list_sources()
    rooms = [room for rooms in FLOORS for room in rooms]
    assert [room for room in rooms if not any(n == room or n.startswith(f"{room}/") for n in sources)] == []


def test_only_the_front_imports_reports() -> None:
    front = ("reports/", "harness/cli/", "harness/plugin", "harness/public/", "docs/")
    arrows = _draw_arrows(_list_sources())
    assert [n for n, others in arrows.items() if any(o.startswith("reports/") for o in others)
            if not n.startswith(front)] == []  # fmt: skip


@pytest.mark.parametrize(
    ("room", "forbidden"),
    [
        ("probes/", ("harness/diagnoses/", "harness/verdict/", "harness/judging/")),
        ("harness/diagnoses/", ("probes/", "harness/training/")),
        ("harness/training/", ("probes/",)),
        ("harness/verdict/", ("probes/",)),
    ],
)
def test_who_looks_does_not_judge_and_who_judges_does_not_look(room: str, forbidden: tuple[str, ...]) -> None:
    arrows = _draw_arrows(_list_sources())
    wrong = [(n, o) for n, others in arrows.items() if n.startswith(room) for o in others if o.startswith(forbidden)]
    assert wrong == []


def test_a_diagnosis_imports_no_heavy_library() -> None:
    names = {
        n: list(_list_imports(n, path)) for n, path in _list_sources().items() if n.startswith("harness/diagnoses/")
    }
    assert {n for n, imports in names.items() if HEAVY & {name.partition(".")[0] for name in imports}} == set()


@pytest.mark.parametrize("module", LIGHT_MODULES)
def test_importing_a_light_module_brings_in_no_heavy_library(module: str) -> None:
    program = f"import {module}, json, sys; print(json.dumps(sorted({{m.partition('.')[0] for m in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not HEAVY & set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_the_whole_catalogue_brings_in_no_heavy_library() -> None:
    program = (
        "import sys; from preflight_ocr.harness.diagnoses import catalogue; catalogue()\n"
        "print(*{m.partition('.')[0] for m in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not HEAVY & set(done.stdout.split())


def test_the_reader_of_imports_sees_every_form(tmp_path: Path) -> None:
    source = tmp_path / "module.py"
    source.write_text(
        "import a.b\nfrom c import d\ndef f():\n    from . import e\n    from .g import h\n", encoding="utf-8"
    )
    assert list(_list_imports("pack/module", source)) == [
        "a.b",
        "c.d",
        "preflight_ocr.pack.e",
        "preflight_ocr.pack.g.h",
    ]


def test_an_arrow_that_runs_up_would_be_seen(tmp_path: Path) -> None:
    for name, text in (
        ("harness/facts/base", "import preflight_ocr.probes.reading.source\n"),
        ("probes/reading/source", ""),
    ):
        path = tmp_path / f"{name}.py"
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8")
    sources = _list_sources(tmp_path)
    assert _draw_arrows(sources) == {"harness/facts/base": {"probes/reading/source"}, "probes/reading/source": set()}
    assert _find_room("probes/reading/source") > _find_room("harness/facts/base")
