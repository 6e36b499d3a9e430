"""What the installed packages define, read from their source without importing them.

A name that cannot be decided by reading (compiled module, module `__getattr__`, names made at run time) is "undecided",
never "missing". What was read is kept in the user's cache directory, per file with its size and time of change, so that
a later run parses nothing.
"""

from __future__ import annotations

import ast
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
from preflight_ocr.probes.reading.source import dotted_name, iterate_statements, parse

Status = Literal["found", "missing package", "missing module", "missing name", "undecided"]
Answer = tuple[Status, str]

_DYNAMIC = re.compile(
    rb"globals\(\)\s*(\[[^\]]*\]\s*=[^=]|\.update|\.setdefault|\|=)|=\s*globals\(\)"
    rb"|vars\(\)\[|sys\.modules\[[^\]]+\]\s*=|setattr\(\s*(sys\.modules|_?module|this)|^\s*exec\(",
    re.MULTILINE,
)
_LAZY = re.compile(rb"sys\.modules\[__name__\]\s*=\s*_LazyModule\(")
_TREE = re.compile(rb"define_import_structure\(")
_GLOBAL = re.compile(rb"^\s+global ([\w, ]+)", re.MULTILINE)
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


class Parameters(msgspec.Struct, frozen=True, array_like=True):
    """What a class can be called with; `open` when it takes any keyword."""

    names: tuple[str, ...] = ()
    open: bool = False

    def accepts(self, keyword: str) -> bool:
        return self.open or keyword in self.names


class ClassNames(msgspec.Struct, frozen=True, array_like=True):
    """A class as its source has it; `bases` are dotted names as written, `init` is None without an `__init__`."""

    bases: tuple[str, ...]
    members: tuple[str, ...]
    init: Parameters | None
    fields: tuple[str, ...] | None  # of a dataclass
    fixed: bool = True  # false where a base or metaclass is an expression


class ModuleNames(msgspec.Struct, frozen=True, array_like=True):
    """What one module binds at its top level; `names` gives "module:name" for what it takes from elsewhere."""

    stamp: tuple[int, int]  # st_mtime_ns, st_size
    names: dict[str, str]
    stars: tuple[str, ...]
    exported: tuple[str, ...] | None  # __all__
    classes: dict[str, ClassNames]
    dynamic: str
    lazy: bool
    tree: bool


class Tree(msgspec.Struct, frozen=True, array_like=True):
    """Every `__all__` below a package folder: name -> module."""

    stamp: tuple[int, int]
    names: dict[str, str]


class _Kept(msgspec.Struct, array_like=True):
    """The cache file. Raise `form` when anything above changes its meaning."""

    form: int
    modules: dict[str, ModuleNames]
    trees: dict[str, Tree]


_FORM = 1


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
        for _ in range(_DEPTH):
            names = self._read(module)
            if isinstance(names, Unknown):
                return None
            if name in names.classes:
                return module, names.classes[name]
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

    def find_members(self, module: str, name: str) -> frozenset[str] | None:
        """Methods and class attributes, those of all bases included; None when a base cannot be told by reading."""
        members: set[str] = set()
        for known in self._walk_bases(module, name):
            if known is None:
                return None
            members.update(known.members)
        return frozenset(members)

    def find_parameters(self, module: str, name: str) -> Parameters | None:
        """What calling a class accepts; None when that cannot be told by reading."""
        fields: list[str] = []
        for known in self._walk_bases(module, name):
            if known is None:
                return None
            if known.init is not None:
                return Parameters((*known.init.names, *fields), known.init.open)
            if known.fields is not None:
                fields += known.fields
        return Parameters(tuple(fields)) if fields else None

    def _walk_bases(self, module: str, name: str) -> Iterator[ClassNames | None]:
        """A class, then its bases depth first; None where one cannot be told."""
        waiting, seen = [(module, name)], set()
        while waiting:
            here = waiting.pop(0)
            if here in seen:
                continue
            seen.add(here)
            found = self.find_class(*here)
            if found is None or not found[1].fixed:
                yield None
                return
            owner, known = found
            yield known
            bases = [self.resolve_base(owner, base) for base in known.bases]
            waiting = [base for base in bases if base[1] not in EMPTY_BASES] + waiting

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
        spec = self._locate(parent)
        origin = spec.origin if spec else None
        text = Path(origin).read_bytes() if origin and origin.endswith(".py") else b""
        invents = step in names.names or re.search(rb"[\"'][\w.]*\b" + re.escape(step).encode() + rb"[\"']", text)
        package = self._read(parent.partition(".")[0])
        aliases = isinstance(package, ModuleNames) and package.lazy and step.endswith("_fast")
        if invents or aliases or (names.dynamic and not names.lazy):
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
            return ModuleNames((0, 0), {}, (), None, {}, "", False, False)
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
        tree = parse(data, spec.origin)
        if isinstance(tree, Unknown):
            return tree
        names = Reader(module, is_package=spec.submodule_search_locations is not None).read(tree, data, stamp)
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


class Reader:
    """Turns one module's syntax tree into ModuleNames."""

    def __init__(self, module: str, *, is_package: bool) -> None:
        self._module = module
        self._package = module if is_package else module.rpartition(".")[0]
        self._names: dict[str, str] = {}
        self._stars: list[str] = []
        self._exported: list[str] | None = None
        self._exports_known = True
        self._classes: dict[str, ClassNames] = {}

    def read(self, tree: ast.Module, data: bytes, stamp: tuple[int, int]) -> ModuleNames:
        lazy = _LAZY.search(data) is not None
        for statement in iterate_statements(tree, skip_type_checking=not lazy):
            self._bind(statement, lazy=lazy)
            if lazy:
                self._read_structure(statement)
        for match in _GLOBAL.finditer(data):
            self._names.update({name.strip(): "" for name in match[1].decode().split(",")})
        makes = "__getattr__" in self._names or _DYNAMIC.search(data) is not None
        dynamic = f"{self._module} makes names when it is imported" if makes and not lazy else ""
        return ModuleNames(
            stamp,
            self._names,
            tuple(self._stars),
            tuple(self._exported) if self._exported is not None and self._exports_known else None,
            self._classes,
            dynamic,
            lazy,
            lazy and _TREE.search(data) is not None,
        )

    def _bind(self, node: ast.stmt, *, lazy: bool) -> None:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            self._names[node.name] = ""
        elif isinstance(node, ast.ClassDef):
            self._names[node.name] = ""
            self._classes[node.name] = _read_class(node)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                bound = alias.name if alias.asname else alias.name.partition(".")[0]
                self._names[alias.asname or bound] = bound
        elif isinstance(node, ast.ImportFrom):
            self._bind_from(node, lazy=lazy)
        elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                self._bind_target(target)
                if isinstance(target, ast.Name) and target.id == "__all__":
                    self._read_all(node.value, adds=isinstance(node, ast.AugAssign))
        elif isinstance(node, (ast.For, ast.AsyncFor)):
            self._bind_target(node.target)
        elif isinstance(node, (ast.With, ast.AsyncWith)):
            for item in node.items:
                if item.optional_vars is not None:
                    self._bind_target(item.optional_vars)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            name = dotted_name(node.value.func) or ""
            if name.startswith("__all__."):
                self._exports_known = False

    def _bind_from(self, node: ast.ImportFrom, *, lazy: bool) -> None:
        module = node.module or ""
        if node.level:
            above = self._package.split(".")
            above = above[: len(above) - node.level + 1]
            module = ".".join([*above, *([module] if module else [])])
        for alias in node.names:
            if alias.name != "*":
                self._names.setdefault(alias.asname or alias.name, f"{module}:{alias.name}")
            elif not lazy:  # there it stands under TYPE_CHECKING and repeats the lists
                self._stars.append(module)

    def _bind_target(self, target: ast.expr) -> None:
        for node in ast.walk(target):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                self._names.setdefault(node.id, "")

    def _read_all(self, value: ast.expr | None, *, adds: bool) -> None:
        if not isinstance(value, (ast.List, ast.Tuple)):
            self._exports_known = False
            return
        names = [element.value for element in value.elts if isinstance(element, ast.Constant)]
        if len(names) != len(value.elts):
            self._exports_known = False
        self._exported = [*(self._exported or []) * adds, *(name for name in names if isinstance(name, str))]

    def _read_structure(self, node: ast.stmt) -> None:
        """`_import_structure = {"sub": ["Name"]}`, and what is assigned, appended or added to it afterwards."""
        if isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Name) and target.id == "_import_structure":
                    for key, value in zip(*_read_dict(node.value), strict=True):
                        self._serve(key, value)
                elif (key_of := _structure_key(target)) is not None:
                    self._serve(key_of, node.value)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            function = node.value.func
            if isinstance(function, ast.Attribute) and (key_of := _structure_key(function.value)) is not None:
                for argument in node.value.args:
                    self._serve(key_of, argument)

    def _serve(self, key: str, value: ast.expr) -> None:
        module = f"{self._package}.{key}"
        self._names.setdefault(key.partition(".")[0], f"{self._package}:{key.partition('.')[0]}")
        for node in ast.walk(value):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                self._names[node.value] = f"{module}:{node.value}"


def _read_dict(value: ast.expr) -> tuple[list[str], list[ast.expr]]:
    if not isinstance(value, ast.Dict):
        return [], []
    pairs = [(k.value, v) for k, v in zip(value.keys, value.values, strict=True) if isinstance(k, ast.Constant)]
    return [str(key) for key, _ in pairs], [item for _, item in pairs]


def _structure_key(node: ast.expr) -> str | None:
    """ "sub" of `_import_structure["sub"]`."""
    if not isinstance(node, ast.Subscript) or dotted_name(node.value) != "_import_structure":
        return None
    return node.slice.value if isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str) else None


def _read_class(node: ast.ClassDef) -> ClassNames:
    members, fields = [], []
    init: Parameters | None = None
    for child in node.body:
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            members.append(child.name)
            if child.name == "__init__":
                init = _read_init(child)
        elif isinstance(child, ast.ClassDef):
            members.append(child.name)
        elif isinstance(child, ast.Assign):
            members += [target.id for target in child.targets if isinstance(target, ast.Name)]
        elif isinstance(child, ast.AnnAssign) and isinstance(child.target, ast.Name):
            members.append(child.target.id)
            fields.append(child.target.id)
    decorators = [dotted_name(d.func if isinstance(d, ast.Call) else d) or "" for d in node.decorator_list]
    is_dataclass = any(name.rpartition(".")[2] == "dataclass" for name in decorators)
    bases = [dotted_name(base.value if isinstance(base, ast.Subscript) else base) for base in node.bases]
    return ClassNames(
        tuple(base for base in bases if base),
        tuple(members),
        init,
        tuple(fields) if is_dataclass else None,
        None not in bases,
    )


def _read_init(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Parameters:
    """The parameters, and the names a decorator such as `deprecate_kwarg("old", ...)` still lets through."""
    arguments = function.args
    names = [argument.arg for argument in (*arguments.args[1:], *arguments.kwonlyargs)]
    for decorator in function.decorator_list:
        for node in ast.walk(decorator):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
                names.append(node.value)
    return Parameters(tuple(names), arguments.kwarg is not None)


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
