"""What the installed packages define, read from their source without importing them.

A name that cannot be decided by reading (compiled module, module `__getattr__`, names made at run time) is "undecided",
never "missing". What was read is kept in the user's cache directory, per file with its size and time of change, so that
a later run parses nothing.
"""

from __future__ import annotations

import builtins
import hashlib
import importlib.machinery
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from preflight_ocr.harness import atomic
from preflight_ocr.harness.facts import Unknown
from preflight_ocr.harness.foreign.files import read_bytes
from preflight_ocr.harness.state import find_cache_directory
from preflight_ocr.probes.reading.definitions import (
    SET_ON_SELF,
    Call,
    ClassNames,
    ModuleNames,
    read_module,
    take_apart,
)

Status = Literal["found", "missing package", "missing module", "missing name", "undecided"]
Answer = tuple[Status, str]

_ALL = re.compile(rb"^__all__(?:\s*:[^=\n]*)?\s*\+?=\s*[\[(](.*?)[\])]", re.DOTALL | re.MULTILINE)
_QUOTED = re.compile(rb"[\"'](\w+)[\"']")
_EVERY_MODULE = ("__name__", "__doc__", "__file__", "__path__", "__spec__", "__loader__", "__package__", "__dict__")
EMPTY_BASES = ("object", "abc.ABC", "typing.Generic", "typing.Protocol", "typing_extensions.Protocol")
# A lazy package may serve these under a successor's name, so their absence from its lists proves nothing.
_SERVED_OTHERWISE = ("Tokenizer", "TokenizerFast", "ImageProcessor", "ImageProcessorFast")
_DEPTH = 12
_LOADERS = (
    (importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES),
    (importlib.machinery.SourceFileLoader, importlib.machinery.SOURCE_SUFFIXES),
    (importlib.machinery.SourcelessFileLoader, importlib.machinery.BYTECODE_SUFFIXES),
)


class Tree(msgspec.Struct, frozen=True, array_like=True):
    """Every `__all__` below a package folder: name -> module."""

    stamp: tuple[int, int]
    names: dict[str, str]


class _Kept(msgspec.Struct, array_like=True):
    """The cache file. Raise `form` when anything above changes its meaning."""

    form: int
    modules: dict[str, ModuleNames]
    trees: dict[str, Tree]


_FORM = 2


class Exports:
    """Answers what installed modules define. `search_path` replaces `sys.path`; `cache` is a file.

    What no folder has may come from a finder, as an editable installation brings one. With a `search_path` these are asked
    only where `asks_finders` says that they belong to it.
    """

    def __init__(
        self, *, search_path: Sequence[str] | None = None, cache: Path | None = None, asks_finders: bool = False
    ) -> None:
        self._search_path = list(search_path) if search_path is not None else None
        self._asks_finders = asks_finders or search_path is None
        self._cache = cache
        self._kept = _read_cache(cache)
        self._specs: dict[str, importlib.machinery.ModuleSpec | None] = {}
        self._finders: dict[str, importlib.machinery.FileFinder] = {}
        self._fresh: dict[str, ModuleNames | Unknown] = {}
        self._changed = False

    def save(self) -> None:
        """Keep what was read for the next run. A cache that cannot be written costs time only, so that is no error."""
        if self._cache is None or not self._changed or (self._cache.exists() and not self._cache.is_file()):
            return
        self._kept.modules = {path: names for path, names in self._kept.modules.items() if Path(path).exists()}
        try:
            atomic.write_bytes(self._cache, msgspec.msgpack.encode(self._kept))
        except OSError:
            return
        self._changed = False

    def find_source(self, module: str) -> Path | None:
        """The module's source file; None for one that is absent, compiled or a mere folder."""
        spec = self._locate(module)
        return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None

    def is_installed(self, package: str) -> bool:
        """Whether a top-level package or module can be found."""
        return package in sys.stdlib_module_names or self._locate(package) is not None

    def is_found_below(self, package: str, root: Path) -> bool:
        """Whether importing this top-level name takes it from `root`, and not from an environment that lies inside it."""
        spec = self._locate(package)
        if spec is None:
            return False
        places = [*(spec.submodule_search_locations or ()), *filter(None, (spec.origin,))]
        return bool(places) and all(
            Path(place).is_relative_to(root) and "site-packages" not in Path(place).parts for place in places
        )

    def resolve(self, module: str, name: str | None) -> Answer:
        """What `import module` (name None) or `from module import name` would meet, and a reason where undecided."""
        package = module.partition(".")[0]
        if package in sys.stdlib_module_names:
            return _ask_interpreter(module, name)
        if self._locate(package) is None:
            return "missing package", ""
        steps = module.split(".")
        for depth in range(2, len(steps) + 1):
            inner = ".".join(steps[:depth])
            if self._locate(inner) is None:
                return self._doubt_module(".".join(steps[: depth - 1]), steps[depth - 1])
        if name is None or name == "*":
            return "found", ""
        if self._locate(f"{module}.{name}") is not None:
            return "found", ""
        return self._look_up(module, name, frozenset())

    def find_class(self, module: str, name: str) -> tuple[str, ClassNames] | None:
        """The module that really defines a class, and the class; None when it cannot be told by reading."""
        found = self._find_definition(module, name)
        return (found[0], found[1].classes[found[2]]) if found and found[2] in found[1].classes else None

    def find_function(self, module: str, name: str) -> Call | None:
        """The signature of a function; None for anything else, and where it cannot be told."""
        found = self._find_definition(module, name)
        return take_apart(found[1].functions[found[2]]) if found and found[2] in found[1].functions else None

    def find_members(self, module: str, name: str) -> frozenset[str] | None:
        """Methods and class attributes, those of all bases included; None when a base cannot be told by reading."""
        members: set[str] = set()
        for _, known in self.walk_class(module, name):
            if known is None:
                return None
            members.update(member for member, kind in known.members.items() if kind != SET_ON_SELF)
        return frozenset(members)

    def find_parameters(self, module: str, name: str) -> Call | None:
        """What calling a class accepts; None when that cannot be told by reading."""
        fields: list[str] = []
        for _, known in self.walk_class(module, name):
            if known is None or not known.fixed:
                return None
            init = known.members.get("__init__", "")
            if init.startswith("("):
                call = take_apart(init[1:-1])
                return msgspec.structs.replace(call, names=(*call.names, *fields))
            fields += known.fields or ()
        return Call(tuple(fields)) if fields else None

    def walk_class(self, module: str, name: str) -> Iterator[tuple[str, ClassNames | None]]:
        """A class and its bases, depth first, each with its module; (base, None) for one that cannot be read."""
        waiting, seen = [(module, name)], set()
        while waiting:
            here = waiting.pop(0)
            if here in seen:
                continue
            seen.add(here)
            found = self.find_class(*here)
            if found is None:
                foreign = "." in here[1] or here[1] in vars(builtins)
                yield here[1] if foreign else f"{here[0]}.{here[1]}", None
                continue
            owner, known = found
            yield owner, known
            if not known.fixed:
                yield f"a computed base of {name}", None
            bases = [self.resolve_base(owner, base) for base in known.bases]
            waiting = [base for base in bases if base[1] not in EMPTY_BASES] + waiting

    def _find_definition(self, module: str, name: str) -> tuple[str, ModuleNames, str] | None:
        """(module, what it binds, name) of the module whose source has the class or function."""
        for _ in range(_DEPTH):
            names = self._read(module)
            if isinstance(names, Unknown):
                return None
            if name in names.classes or name in names.functions:
                return module, names, name
            target = names.names.get(name) or self._find_in_tree(module, names, name)
            if target is None:
                stars = (star for star in names.stars if self._look_up(star, name, frozenset())[0] == "found")
                star = next(stars, None)
                target = f"{star}:{name}" if star else None
            if not target or target == f"{module}:{name}":
                return None
            module, _, name = target.partition(":")
            if not name:
                return None
        return None

    def resolve_base(self, owner: str, base: str) -> tuple[str, str]:
        """The module and name under which `owner` knows a base class, as it is written there."""
        names = self._read(owner)
        assert isinstance(names, ModuleNames)
        first, _, rest = base.partition(".")
        target = names.names.get(first)
        full = ".".join(part for part in (*(target or base).split(":"), rest if target else "") if part)
        if full in EMPTY_BASES:
            return "", full
        if not target:
            return owner, base
        module, _, name = full.rpartition(".")
        while module and self._locate(module) is None:  # `torch.nn.Module`: the class may hang below an attribute
            module = module.rpartition(".")[0]
        return (module, name) if module and full == f"{module}.{name}" else (owner, full)

    def _look_up(self, module: str, name: str, seen: frozenset[str]) -> Answer:
        names = self._read(module)
        if isinstance(names, Unknown):
            return "undecided", names.reason
        if name in names.names or name in names.classes or name in _EVERY_MODULE:
            return "found", ""
        if self._find_in_tree(module, names, name):
            return "found", ""
        if names.lazy and name.endswith("Fast") and self._look_up(module, name[:-4], seen)[0] == "found":
            return "found", ""
        if names.lazy and name.endswith(_SERVED_OTHERWISE):
            return "undecided", f"{module} may serve {name} under another name"
        doubt = names.dynamic
        for star in names.stars:
            if star in seen:
                continue
            status, reason = self._look_up_star(star, name, seen | {module})
            if status == "found":
                return "found", ""
            doubt = doubt or (reason if status == "undecided" else "")
        return ("undecided", doubt) if doubt else ("missing name", "")

    def _look_up_star(self, module: str, name: str, seen: frozenset[str]) -> Answer:
        names = self._read(module)
        if isinstance(names, ModuleNames) and names.exported is not None and not names.dynamic:
            return ("found", "") if name in names.exported else ("missing name", "")
        if name.startswith("_"):
            return "missing name", ""
        return self._look_up(module, name, seen)

    def _doubt_module(self, parent: str, step: str) -> Answer:
        """A submodule without a file: missing, unless its package could make it up when imported."""
        names = self._read(parent)
        if isinstance(names, Unknown):
            return "undecided", names.reason
        package = self._read(parent.partition(".")[0])
        aliases = isinstance(package, ModuleNames) and package.lazy and step.endswith("_fast")
        if step in (*names.names, *names.quoted) or aliases or (names.dynamic and not names.lazy):
            return "undecided", f"{parent} may create {step} when it is imported"
        return "missing module", ""

    def _find_in_tree(self, module: str, names: ModuleNames, name: str) -> str | None:
        """A name in the `__all__` of any module below a package that gathers its exports from there."""
        spec = self._locate(module)
        if not names.tree or spec is None or spec.origin is None:
            return None
        folder = str(Path(spec.origin).parent)
        kept = self._kept.trees.get(folder)
        if kept is None or kept.stamp != names.stamp:
            kept = Tree(names.stamp, dict(_scan(Path(folder), module)))
            self._kept.trees[folder] = kept
            self._changed = True
        target = kept.names.get(name)
        return f"{target}:{name}" if target else None

    def _read(self, module: str) -> ModuleNames | Unknown:
        if module not in self._fresh:
            self._fresh[module] = self._read_anew(module)
        return self._fresh[module]

    def _read_anew(self, module: str) -> ModuleNames | Unknown:
        if module.partition(".")[0] in sys.stdlib_module_names:
            return Unknown(reason=f"{module} belongs to the standard library")
        spec = self._locate(module)
        if spec is None:
            return Unknown(reason=f"{module} was not found")
        if spec.origin is None:
            return ModuleNames()
        if not spec.origin.endswith(".py"):
            return Unknown(reason=f"{module} is a compiled module: its names stand in no source")
        try:
            status = Path(spec.origin).stat()
            stamp = (status.st_mtime_ns, status.st_size)
            kept = self._kept.modules.get(spec.origin)
            if kept is not None and kept.stamp == stamp:
                return kept
            data = Path(spec.origin).read_bytes()
        except OSError as error:
            return Unknown(reason=f"{spec.origin}: cannot be read: {error.strerror}")
        is_package = spec.submodule_search_locations is not None
        names = read_module(module, data, spec.origin, is_package=is_package, stamp=stamp)
        if isinstance(names, Unknown):
            return names
        self._kept.modules[spec.origin] = names
        self._changed = True
        return names

    def _locate(self, module: str) -> importlib.machinery.ModuleSpec | None:
        """The module's spec, by looking at folders only: no parent package is imported."""
        if module not in self._specs:
            self._specs[module] = self._locate_anew(module)
        return self._specs[module]

    def _locate_anew(self, module: str) -> importlib.machinery.ModuleSpec | None:
        parent = module.rpartition(".")[0]
        if not parent:
            found = importlib.machinery.PathFinder.find_spec(module, self._search_path)
            return _ask_finders(module, None) if found is None and self._asks_finders else found
        above = self._locate(parent)
        if above is None or above.submodule_search_locations is None:
            return None
        folders = list(above.submodule_search_locations)
        found = self._search(module, folders)
        return _ask_finders(module, folders) if found is None and self._asks_finders else found

    def _search(self, module: str, folders: Sequence[str]) -> importlib.machinery.ModuleSpec | None:
        """PathFinder would do, if it did not look a folder without `__init__.py` up in its parent, imported."""
        portions: list[str] = []
        for folder in folders:
            finder = self._finders.setdefault(folder, importlib.machinery.FileFinder(folder, *_LOADERS))
            spec = finder.find_spec(module)
            if spec is not None and spec.loader is not None:
                return spec
            portions += spec.submodule_search_locations or [] if spec is not None else []
        if not portions:
            return None
        spec = importlib.machinery.ModuleSpec(module, None, is_package=True)
        spec.submodule_search_locations = portions
        return spec


def open_exports() -> Exports:
    """The exports of this interpreter's packages, with the answers kept in the user's cache directory."""
    identity = hashlib.sha256(f"{sys.prefix}\0{sys.version}".encode()).hexdigest()[:16]
    return Exports(cache=find_cache_directory() / f"exports-{identity}.msgpack")


def _scan(folder: Path, package: str) -> Iterator[tuple[str, str]]:
    """(name, module) for each `__all__` below a folder. By pattern: thousands of files have to be read only once."""
    for path in folder.rglob("*.py"):
        try:
            data = path.read_bytes()
        except OSError:
            continue
        if b"__all__" not in data:
            continue
        steps = path.relative_to(folder).with_suffix("").parts
        module = ".".join([package, *(step for step in steps if step != "__init__")])
        for listed in _ALL.finditer(data):
            for quoted in _QUOTED.findall(listed[1]):
                yield quoted.decode(), module


def _ask_interpreter(module: str, name: str | None) -> Answer:
    """The standard library: what is loaded already can simply be asked; the rest is taken as found."""
    loaded = sys.modules.get(module)
    if loaded is None or name is None or name == "*" or hasattr(loaded, name):
        return "found", ""
    if importlib.machinery.PathFinder.find_spec(f"{module}.{name}", list(getattr(loaded, "__path__", []))):
        return "found", ""
    return "missing name", f"Python {sys.version_info.major}.{sys.version_info.minor}"


def _ask_finders(module: str, folders: list[str] | None) -> importlib.machinery.ModuleSpec | None:
    """Editable installs bring finders of their own, which may put a package together from folders that lie apart.

    `folders` are those of the package above, which `importlib.util.find_spec` would import.
    """
    if module in vars(builtins):
        return None
    for finder in sys.meta_path:
        try:
            spec = finder.find_spec(module, folders)
        except (AttributeError, ImportError, ValueError):  # what others put there need not keep the rules
            continue
        if spec is not None:
            return spec
    return None


def _read_cache(path: Path | None) -> _Kept:
    empty = _Kept(_FORM, {}, {})
    if path is None:
        return empty
    try:
        kept = msgspec.msgpack.decode(read_bytes(path), type=_Kept)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return empty
    return kept if kept.form == _FORM else empty
