"""One Python file as its module defines it: the names it binds, its classes with their members, the signatures of both.

A signature is one short text, so that it costs little in the cache and unchanged ones cost nothing in the index:

    "x,y=,*,flag=,**,?seed,~old"    x; y with a default; flag by keyword only; any keyword, `seed` being one that the
                                    body takes out of it; `old` is let through by a decorator that renames it
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import msgspec

from preflight_ocr.harness.facts import Unknown
from preflight_ocr.probes.reading.source import Function, dotted_name, iterate_statements, parse, read_signature

FIELD, SET_ON_SELF, PLAIN, FORWARDS, SERVES = "f", "i", "", ">", "!"

_DYNAMIC = re.compile(
    rb"globals\(\)\s*(\[[^\]]*\]\s*=[^=]|\.update|\.setdefault|\|=)|=\s*globals\(\)"
    rb"|vars\(\)\[|sys\.modules\[[^\]]+\]\s*=|setattr\(\s*(sys\.modules|_?module|this)|^\s*exec\(",
    re.MULTILINE,
)
_LAZY = re.compile(rb"sys\.modules\[__name__\]\s*=\s*_LazyModule\(")
_TREE = re.compile(rb"define_import_structure\(")
_QUOTED_MODULE = re.compile(rb"[\"'{}.](\w+)[\"']")
_GLOBAL = re.compile(rb"^\s+global ([\w, ]+)", re.MULTILINE)


class ClassNames(msgspec.Struct, frozen=True, array_like=True):
    """A class as its source has it; `bases` are dotted names as written.

    `members`: name -> "(signature)", or one of the kinds above. A `__getattr__` is ">" where it asks another object, else
    "!" and every name that stands in quotes in its class: no other can it serve.
    """

    name: str
    bases: tuple[str, ...]
    members: dict[str, str]
    fields: tuple[str, ...] | None  # of a dataclass, those that can be given
    fixed: bool = True  # false where a base is an expression


class ModuleNames(msgspec.Struct, frozen=True, array_like=True):
    """What one module binds at its top level; `names` gives "module:name" for what it takes from elsewhere."""

    names: dict[str, str] = {}
    stars: tuple[str, ...] = ()
    exported: tuple[str, ...] | None = None  # __all__
    classes: dict[str, ClassNames] = {}
    functions: dict[str, str] = {}  # name -> signature
    quoted: tuple[str, ...] = ()  # of a package: words in quotes, under which it may make modules when it is imported
    dynamic: str = ""
    lazy: bool = False
    tree: bool = False
    stamp: tuple[int, int] = (0, 0)  # st_mtime_ns, st_size


class Call(msgspec.Struct, frozen=True):
    """A signature taken apart."""

    names: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    taken: tuple[str, ...] = ()  # keywords that the body takes out of **kwargs
    renamed: tuple[str, ...] = ()  # old keywords that a decorator lets through
    open: bool = False

    def names_keyword(self, keyword: str) -> bool:
        """Whether the source names the keyword, `**kwargs` left out of account."""
        return keyword in self.names or keyword in self.taken or keyword in self.renamed

    def accepts(self, keyword: str) -> bool:
        """Whether a call with the keyword is let through."""
        return self.open or self.names_keyword(keyword)


def read_module(
    module: str, data: bytes, origin: str, *, is_package: bool, stamp: tuple[int, int] = (0, 0)
) -> ModuleNames | Unknown:
    """Read one module. Unknown, with `origin` and the line, for what this Python cannot parse."""
    tree = parse(data, origin)
    return tree if isinstance(tree, Unknown) else _Reader(module, is_package=is_package).read(tree, data, stamp)


def take_apart(text: str) -> Call:
    """Take a signature text apart."""
    names, required, taken, renamed, keywords = [], [], [], [], False
    for part in text.split(",") if text else ():
        if part == "**":
            keywords = True
        elif part.startswith("?"):
            taken.append(part[1:])
        elif part.startswith("~"):
            renamed.append(part[1:])
        elif not part.startswith("*"):
            names.append(part.rstrip("="))
            if not part.endswith("="):
                required.append(part)
    return Call(tuple(names), tuple(required), tuple(taken), tuple(renamed), keywords)


def may_serve(getter: str, name: str) -> bool | None:
    """Whether a class's `__getattr__` (its kind, "" without one) serves a name: None for no, False for perhaps."""
    if getter.startswith(FORWARDS):
        return False
    stem = name.removesuffix("s").removesuffix("_id")  # token ids are served beside the tokens
    words = getter.removeprefix(SERVES).split(",") if getter else []
    return True if {name, stem} & set(words) else None


def read_class(node: ast.ClassDef) -> ClassNames:
    """One class. What methods set on `self` comes first, so that what the class itself declares under that name wins."""
    body = list(iterate_statements(node))
    members = {name: SET_ON_SELF for child in body if isinstance(child, Function) for name in _find_set_on_self(child)}
    for child in body:
        if isinstance(child, Function):
            members[child.name] = _read_method(child, node)
        elif isinstance(child, ast.ClassDef):
            members[child.name] = PLAIN
        elif isinstance(child, ast.Assign):
            members |= {target.id: PLAIN for target in child.targets if isinstance(target, ast.Name)}
        elif isinstance(child, ast.AnnAssign) and isinstance(child.target, ast.Name):
            members[child.target.id] = PLAIN if _is_left_out(child.value) else FIELD
    decorators = [dotted_name(d.func if isinstance(d, ast.Call) else d) or "" for d in node.decorator_list]
    is_dataclass = any(name.rpartition(".")[2] == "dataclass" for name in decorators)
    bases = [dotted_name(base.value if isinstance(base, ast.Subscript) else base) for base in node.bases]
    return ClassNames(
        node.name,
        tuple(base for base in bases if base),
        members,
        list_fields(members) if is_dataclass else None,
        None not in bases,
    )


def list_fields(members: dict[str, str]) -> tuple[str, ...]:
    """What a dataclass with these members can be given."""
    return tuple(name for name, kind in members.items() if kind == FIELD)


def _read_method(function: Function, owner: ast.ClassDef) -> str:
    if function.name == "__getattr__":
        return FORWARDS if _forwards(function) else SERVES + ",".join(_find_words(owner))
    return PLAIN if _is_property(function) else f"({_write_signature(function, bound=True)})"


def _is_left_out(value: ast.expr | None) -> bool:
    """`field(init=False)`: a field that cannot be given."""
    keywords = value.keywords if isinstance(value, ast.Call) else []
    return any(k.arg == "init" and isinstance(k.value, ast.Constant) and k.value.value is False for k in keywords)


def _forwards(function: Function) -> bool:
    """Whether a `__getattr__` hands the name on: `getattr(self.inner, name)`, `self.data[name]`, `self.data.get(name)`."""
    asked = function.args.args[-1].arg if function.args.args else ""
    for node in ast.walk(function):
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Attribute):
            if dotted_name(node.slice) == asked:
                return True
        elif isinstance(node, ast.Call) and asked in [dotted_name(argument) for argument in node.args[:2]]:
            called = dotted_name(node.func) or ""
            if called == "getattr" and dotted_name(node.args[0]) != "self":
                return True
            if called.startswith("self.") and called.endswith((".get", ".pop")):
                return True
            if called.endswith("import_module"):
                return True
    return False


def _find_words(node: ast.ClassDef) -> list[str]:
    constants = (inner.value for inner in ast.walk(node) if isinstance(inner, ast.Constant))
    return sorted({text for text in constants if isinstance(text, str) and text.isidentifier()})


def _find_set_on_self(function: Function) -> Iterator[str]:
    if not function.args.args:
        return
    owner = function.args.args[0].arg
    for node in ast.walk(function):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            if isinstance(node.value, ast.Name) and node.value.id == owner:
                yield node.attr
        elif isinstance(node, ast.Call) and dotted_name(node.func) == "setattr" and len(node.args) == 3:
            name = node.args[1]
            if dotted_name(node.args[0]) == owner and isinstance(name, ast.Constant) and isinstance(name.value, str):
                yield name.value


def _is_property(function: Function) -> bool:
    names = [dotted_name(decorator) or "" for decorator in function.decorator_list]
    return any("property" in name.rpartition(".")[2] or name.endswith((".setter", ".getter")) for name in names)


def _write_signature(function: Function, *, bound: bool) -> str:
    parts: list[str] = []
    for parameter in read_signature(function, "", bound=bound).parameters:
        if parameter.kind == "var_positional":
            parts.append("*args")
        elif parameter.kind == "var_keyword":
            parts += ["**", *(f"?{name}" for name in sorted(set(_find_taken(function, parameter.name))))]
        else:
            if parameter.kind == "keyword_only" and not {"*", "*args"} & set(parts):
                parts.append("*")
            parts.append(parameter.name + "=" * parameter.has_default)
    return ",".join([*parts, *(f"~{name}" for name in _find_renamed(function))])


def _find_taken(function: Function, keywords: str) -> Iterator[str]:
    """`kwargs.pop("x")`, `kwargs.get("x")`, `kwargs["x"]` and `"x" in kwargs`."""
    for node in ast.walk(function):
        value: ast.expr | None = None
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            if node.func.attr in ("pop", "get", "setdefault") and dotted_name(node.func.value) == keywords:
                value = node.args[0]
        elif isinstance(node, ast.Subscript) and dotted_name(node.value) == keywords:
            value = node.slice
        elif isinstance(node, ast.Compare) and [dotted_name(c) for c in node.comparators] == [keywords]:
            value = node.left
        if isinstance(value, ast.Constant) and isinstance(value.value, str) and value.value.isidentifier():
            yield value.value


def _find_renamed(function: Function) -> Iterator[str]:
    """The old names that a decorator such as `deprecate_kwarg("old", new_name="new")` still lets through."""
    for decorator in function.decorator_list:
        if not isinstance(decorator, ast.Call):
            continue
        for node in ast.walk(decorator):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
                yield node.value


class _Reader:
    """Turns one module's syntax tree into ModuleNames."""

    def __init__(self, module: str, *, is_package: bool) -> None:
        self._module = module
        self._package = module if is_package else module.rpartition(".")[0]
        self._names: dict[str, str] = {}
        self._stars: list[str] = []
        self._exported: list[str] | None = None
        self._exports_known = True
        self._classes: dict[str, ClassNames] = {}
        self._functions: dict[str, str] = {}

    def read(self, tree: ast.Module, data: bytes, stamp: tuple[int, int]) -> ModuleNames:
        lazy = _LAZY.search(data) is not None
        for statement in iterate_statements(tree, skip_type_checking=not lazy):
            self._bind(statement, lazy=lazy)
            if lazy:
                self._read_structure(statement)
        for match in _GLOBAL.finditer(data):
            self._names.update({name.strip(): "" for name in match[1].decode().split(",")})
        invents = self._package == self._module or b"sys.modules" in data
        quoted = {word.decode() for word in _QUOTED_MODULE.findall(data)} if invents else ()
        makes = "__getattr__" in self._names or _DYNAMIC.search(data) is not None
        return ModuleNames(
            names=self._names,
            stars=tuple(self._stars),
            exported=tuple(self._exported) if self._exported is not None and self._exports_known else None,
            classes=self._classes,
            functions=self._functions,
            quoted=tuple(sorted(quoted)),
            dynamic=f"{self._module} makes names when it is imported" if makes and not lazy else "",
            lazy=lazy,
            tree=lazy and _TREE.search(data) is not None,
            stamp=stamp,
        )

    def _bind(self, node: ast.stmt, *, lazy: bool) -> None:
        if isinstance(node, Function):
            self._names[node.name] = ""
            self._functions[node.name] = _write_signature(node, bound=False)
        elif isinstance(node, ast.ClassDef):
            self._names[node.name] = ""
            self._classes[node.name] = read_class(node)
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
