"""Who may import whom, read from the source, and what an import really brings in, seen in a fresh process."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "transformers", "peft", "PIL", "numpy", "accelerate", "torchvision", "safetensors"}
LIGHT_MODULES = ("harness.cli", "harness.plugin", "harness.diagnoses", "harness.contracts", "harness.gate")


def _list_sources(package: str) -> list[Path]:
    return sorted(ROOT.joinpath(package).rglob("*.py"))


def _list_imports(path: Path) -> Iterator[str]:
    """Every dotted name that a file imports anywhere, `from a import b` as `a.b`, relative imports resolved."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*parents, *filter(None, [node.module])))
            yield from (f"{module}.{alias.name}" for alias in node.names)


def _is_under(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


@pytest.mark.parametrize("module", LIGHT_MODULES)
def test_importing_a_light_module_brings_in_no_heavy_library(module: str) -> None:
    program = f"import {module}, json, sys; print(json.dumps(sorted({{m.partition('.')[0] for m in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not HEAVY & set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_the_whole_catalogue_brings_in_no_heavy_library() -> None:
    program = "import sys, harness.diagnoses as d; d.catalogue(); print(*{m.partition('.')[0] for m in sys.modules})"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not HEAVY & set(done.stdout.split())


@pytest.mark.parametrize("path", _list_sources("probes"), ids=lambda path: path.stem)
def test_a_probe_never_imports_a_diagnosis(path: Path) -> None:
    judging = ("harness.diagnoses", "harness.contracts", "harness.diagnosis", "harness.findings")
    assert not [name for name in _list_imports(path) if any(_is_under(name, package) for package in judging)]


@pytest.mark.parametrize("path", _list_sources("harness/diagnoses"), ids=lambda path: path.stem)
def test_a_diagnosis_imports_neither_a_probe_nor_a_heavy_library(path: Path) -> None:
    names = list(_list_imports(path))
    assert not [name for name in names if _is_under(name, "probes") or _is_under(name, "harness.training")]
    assert not HEAVY & {name.partition(".")[0] for name in names}


def test_the_reader_of_imports_sees_every_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    source = tmp_path / "pack" / "module.py"
    source.parent.mkdir()
    source.write_text(
        "import a.b\nfrom c import d\ndef f():\n    from . import e\n    from .g import h\n", encoding="utf-8"
    )
    assert list(_list_imports(source)) == ["a.b", "c.d", "pack.e", "pack.g.h"]
