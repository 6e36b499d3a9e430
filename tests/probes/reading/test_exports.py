"""Installed packages, planted in a folder of their own, and what can be told about them without importing them."""

from __future__ import annotations

import sys
from importlib.util import spec_from_file_location
from pathlib import Path

import pytest

from preflight_ocr.harness.state import find_cache_directory
from preflight_ocr.probes.reading.exports import Exports, open_exports

LAZY = """
    from typing import TYPE_CHECKING
    _import_structure = {"models.llama": ["LlamaModel"], "cache": []}
    _import_structure["cache"].extend(["DynamicCache"])
    _import_structure["models.llama"].append("LlamaConfig")
    if TYPE_CHECKING:
        from .nowhere import *
    else:
        import sys
        sys.modules[__name__] = _LazyModule(__name__, globals()["__file__"], _import_structure)
"""


@pytest.fixture
def installed(plant):
    return plant(
        {
            "site/plain/__init__.py": "from .inner import *\nfrom .inner import _hidden\nVALUE: int = 1\n",
            "site/plain/inner.py": """
                __all__ = ["shown", "Shape"]
                def shown(): ...
                def unlisted(): ...
                def _hidden(): ...
                class Shape:
                    colour = "red"
                    def __init__(self, width, *, height=1): ...
                class Square(Shape):
                    def area(self): ...
                try:
                    import json as optional
                except ImportError:
                    optional = None
            """,
            "site/plain/sub/deep.py": "x = 1",
            "site/dynamic.py": "def __getattr__(name): return 1\n",
            "site/made.py": "for name in ('a', 'b'):\n    globals()[name] = 1\n",
            "site/compiled.cpython-311-x86_64-linux-gnu.so": b"\x7fELF",
            "site/broken.py": "print 'python 2'\n",
            "site/lazy/__init__.py": LAZY,
            "site/lazy/cache.py": "class DynamicCache: ...",
            "site/lazy/models/llama/__init__.py": """
                sys.modules[__name__] = _LazyModule(__name__, f, define_import_structure(f))
            """,
            "site/lazy/models/llama/modeling_llama.py": "__all__ = [\n    'LlamaModel',\n]\nclass LlamaModel: ...",
            "site/tree/__init__.py": """
                import_structure = define_import_structure(Path(__file__).parent / "models", prefix="models")
                sys.modules[__name__] = _LazyModule(__name__, f, import_structure)
            """,
            "site/tree/models/auto.py": '__all__ = ["AutoModel"]\nclass AutoModel:\n    def from_pretrained(self): ...',
        }
    )


@pytest.mark.parametrize(
    ("module", "name", "status"),
    [
        ("plain", None, "found"),
        ("plain", "shown", "found"),
        ("plain", "VALUE", "found"),
        ("plain", "_hidden", "found"),
        ("plain", "unlisted", "missing name"),
        ("plain", "sub", "found"),
        ("plain.sub", "deep", "found"),
        ("plain.sub.deep", "x", "found"),
        ("plain.inner", "unlisted", "found"),
        ("plain.inner", "optional", "found"),
        ("plain.inner", "nothing", "missing name"),
        ("plain.nothing", "x", "missing module"),
        ("absent", None, "missing package"),
        ("absent.deep", "x", "missing package"),
        ("dynamic", "anything", "undecided"),
        ("made", "a", "undecided"),
        ("broken", "x", "undecided"),
        ("lazy", "LlamaModel", "found"),
        ("lazy", "LlamaConfig", "found"),
        ("lazy", "DynamicCache", "found"),
        ("lazy", "LlamaFlashAttention2", "missing name"),
        ("lazy", "GhostTokenizerFast", "undecided"),
        ("lazy.models.llama", "LlamaModel", "found"),
        ("lazy.models.llama", "LlamaFlashAttention2", "missing name"),
        ("tree", "AutoModel", "found"),
        ("tree", "AutoModelForVision2Seq", "missing name"),
        ("collections", "OrderedDict", "found"),
        ("collections", "Mapping", "missing name"),
        ("os.path", "join", "found"),
    ],
)
def test_an_import_is_resolved_without_importing(installed, exports, module, name, status):
    before = set(sys.modules)
    assert exports.resolve(module, name)[0] == status
    assert not {"plain", "lazy", "tree", "dynamic"} & (set(sys.modules) - before)


@pytest.mark.skipif(sys.platform != "linux", reason="the planted file carries Linux's suffix for compiled modules")
def test_names_of_a_compiled_module_are_undecided_and_never_missing(plant, exports):
    from importlib.machinery import EXTENSION_SUFFIXES

    plant({f"site/native{EXTENSION_SUFFIXES[0]}": b"\x7fELF", "site/around.py": "from native import *\n"})
    assert exports.resolve("native", "anything")[0] == "undecided"
    assert exports.resolve("around", "anything")[0] == "undecided"


def test_members_and_parameters_come_from_the_base_classes_too(installed, exports):
    assert {"colour", "area", "__init__"} <= (exports.find_members("plain.inner", "Square") or set())
    parameters = exports.find_parameters("plain.inner", "Square")
    assert parameters is not None
    assert parameters.accepts("height")
    assert not parameters.accepts("depth")


def test_a_class_behind_a_lazy_package_is_found_where_it_is_defined(installed, exports):
    found = exports.find_class("tree", "AutoModel")
    assert found is not None
    assert found[0] == "tree.models.auto"


def test_a_decorator_that_renames_a_keyword_lets_the_old_one_through(plant, exports):
    plant(
        {
            "site/kit.py": """
                class Trainer:
                    @deprecate_kwarg("tokenizer", new_name="processing_class", version="5.0.0")
                    def __init__(self, model=None, processing_class=None): ...
            """
        }
    )
    parameters = exports.find_parameters("kit", "Trainer")
    assert parameters is not None
    assert parameters.accepts("tokenizer")


def test_a_dataclass_takes_its_own_fields_and_those_of_its_bases(plant, exports):
    plant(
        {
            "site/kit.py": """
                from dataclasses import dataclass
                @dataclass
                class Base:
                    output_dir: str
                @dataclass
                class Arguments(Base):
                    seed: int = 0
            """
        }
    )
    parameters = exports.find_parameters("kit", "Arguments")
    assert parameters is not None
    assert set(parameters.names) == {"output_dir", "seed"}


def test_a_class_with_a_base_that_cannot_be_read_is_not_judged(plant, exports):
    plant({"site/kit.py": "from elsewhere import Base\nclass Thing(Base): ...\nclass Other(make()): ..."})
    assert exports.find_members("kit", "Thing") is None
    assert exports.find_members("kit", "Other") is None


def test_classes_that_inherit_in_a_circle_come_to_an_end(plant, exports):
    plant({"site/one.py": "from two import B\nclass A(B): ...", "site/two.py": "from one import A\nclass B(A): ..."})
    exports.find_members("one", "A")
    assert exports.resolve("one", "nothing")[0] == "missing name"


def test_modules_that_import_each_others_stars_come_to_an_end(plant, exports):
    plant({"site/one.py": "from two import *\n", "site/two.py": "from one import *\n"})
    assert exports.resolve("one", "nothing")[0] == "missing name"


def test_kept_answers_are_used_again_and_renewed_when_a_file_changes(plant, tmp_path: Path):
    plant({"site/kit.py": "def old(): ...\n"})
    cache = tmp_path / "cache" / "exports.msgpack"

    def ask(name: str) -> str:
        exports = Exports(search_path=[str(tmp_path / "site")], cache=cache)
        status = exports.resolve("kit", name)[0]
        exports.save()
        return status

    assert ask("old") == "found"
    assert cache.is_file()
    assert ask("old") == "found"
    plant({"site/kit.py": "def new_name(): ...\n"})
    assert (ask("old"), ask("new_name")) == ("missing name", "found")


@pytest.mark.parametrize("junk", [b"", b"\xff\x00junk", b"\x91" * 100_000])
def test_a_damaged_cache_is_built_anew(plant, tmp_path: Path, junk):
    plant({"site/kit.py": "x = 1\n", "cache.msgpack": junk})
    exports = Exports(search_path=[str(tmp_path / "site")], cache=tmp_path / "cache.msgpack")
    assert exports.resolve("kit", "x")[0] == "found"
    exports.save()
    assert Exports(cache=tmp_path / "cache.msgpack").resolve("sys", None)[0] == "found"


def test_a_cache_that_cannot_be_written_is_no_error(plant, tmp_path: Path):
    plant({"site/kit.py": "x = 1\n", "taken": "a file where a folder is needed"})
    exports = Exports(search_path=[str(tmp_path / "site")], cache=tmp_path / "taken" / "cache.msgpack")
    assert exports.resolve("kit", "x")[0] == "found"
    exports.save()


@pytest.mark.skipif(sys.platform == "win32", reason="XDG folders are not a Windows habit")
def test_the_cache_stands_where_the_user_wants_caches(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert find_cache_directory() == tmp_path / "preflight"


@pytest.mark.parametrize("inner", ["__init__.py", "deeper/__init__.py"])
def test_a_part_of_a_package_that_an_editable_install_keeps_elsewhere_is_found(plant, monkeypatch, inner):
    """What setuptools writes for a mapped `package-dir`: a finder that knows the place of each package by its name."""
    root = plant({"public/__init__.py": "", f"elsewhere/{inner}": "VALUE = 1\n"})
    places = {"mapped_package": root / "public", "mapped_package.part": root / "elsewhere"}

    class Finder:
        @staticmethod
        def find_spec(name, path=None, target=None):
            place = places.get(name)
            return place and spec_from_file_location(name, place / "__init__.py")

    if inner.startswith("deeper"):
        (root / "elsewhere" / "__init__.py").write_text("", encoding="utf-8")
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder])
    module = "mapped_package.part.deeper" if inner.startswith("deeper") else "mapped_package.part"
    exports = Exports()
    assert exports.resolve(module, "VALUE")[0] == "found"
    assert exports.resolve(module, "OTHER")[0] == "missing name"
    assert exports.resolve("mapped_package.absent", "VALUE")[0] == "missing module"
    assert "mapped_package" not in sys.modules


def test_names_of_the_installed_transformers_are_told_as_importing_it_would(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    exports = open_exports()
    for name in ("AutoModel", "Trainer", "TrainingArguments", "DynamicCache", "PreTrainedModel"):
        assert exports.resolve("transformers", name)[0] == "found"
    assert exports.resolve("transformers", "NoSuchModelAtAll")[0] == "missing name"
    parameters = exports.find_parameters("transformers", "TrainingArguments")
    assert parameters is not None
    assert parameters.accepts("eval_strategy")
    assert not parameters.accepts("eval_strategie")


def test_a_package_that_a_finder_puts_together_from_folders_apart_is_found(monkeypatch, tmp_path) -> None:
    """As an editable installation does: `apart` and `apart.inner` lie in folders of other names."""
    places = {"apart": tmp_path / "top", "apart.inner": tmp_path / "elsewhere"}
    for name, folder in places.items():
        folder.mkdir()
        (folder / "__init__.py").write_text(f"NAME = {name!r}\n", encoding="utf-8")

    class Finder:
        @staticmethod
        def find_spec(name, path=None, target=None):
            if name not in places:
                return None
            folder = places[name]
            return spec_from_file_location(name, folder / "__init__.py", submodule_search_locations=[str(folder)])

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder])
    for exports in (Exports(), Exports(search_path=[str(tmp_path)], asks_finders=True)):
        assert exports.resolve("apart.inner", "NAME")[0] == "found"
        assert exports.resolve("apart.inner", "OTHER")[0] == "missing name"
        assert exports.resolve("apart.nowhere", None)[0] == "missing module"
    assert Exports(search_path=[str(tmp_path)]).resolve("apart.inner", "NAME")[0] == "missing package"
    assert "apart" not in sys.modules
