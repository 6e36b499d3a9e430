"""One file of a library as the index knows it: what its module binds, and the signatures of what it defines.

The binding is read by `probes/reading/exports`; here the parameters of functions and methods and the attributes that methods
set on `self` are added. A signature is one short text, so that unchanged ones cost nothing in the compressed index:

    "x,y=,*,flag=,**,?seed,~old"    x; y with a default; flag by keyword only; any keyword, `seed` being one that the
                                    body takes out of it; `old` is let through by a decorator that renames it
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import msgspec

from preflight_ocr.harness.facts import Unknown
from preflight_ocr.probes.reading.exports import ModuleNames, Reader
from preflight_ocr.probes.reading.source import dotted_name, iterate_statements, parse

Function = ast.FunctionDef | ast.AsyncFunctionDef
FIELD, SET_ON_SELF, PLAIN, FORWARDS, SERVES = "f", "i", "", ">", "!"

_QUOTED_MODULE = re.compile(rb"[\"'{}.](\w+)[\"']")


class FileNames(msgspec.Struct, frozen=True):
    """`functions`: name -> signature. `members`: class -> member -> "(signature)", or one of the kinds above.

    A `__getattr__` is ">" where it asks another object, else "!" and every name that stands in quotes in its class: no
    other can it serve.
    """

    module: ModuleNames
    functions: dict[str, str]
    members: dict[str, dict[str, str]]
    quoted: tuple[str, ...]  # words in quotes: an `__init__` may make modules of these names


class Call(msgspec.Struct, frozen=True):
    """A signature taken apart."""

    names: tuple[str, ...]
    required: tuple[str, ...]
    taken: tuple[str, ...]  # keywords that the body takes out of **kwargs
    renamed: tuple[str, ...]  # old keywords that a decorator lets through
    open: bool

    def names_keyword(self, keyword: str) -> bool:
        """Whether the source names the keyword, `**kwargs` left out of account."""
        return keyword in self.names or keyword in self.taken or keyword in self.renamed


def read_file(data: bytes, module: str, *, is_package: bool) -> FileNames | Unknown:
    """Read one module. Unknown, with the line, for what this Python cannot parse."""
    tree = parse(data, module)
    if isinstance(tree, Unknown):
        return tree
    functions: dict[str, str] = {}
    members: dict[str, dict[str, str]] = {}
    for node in iterate_statements(tree):
        if isinstance(node, Function):
            functions[node.name] = _write_signature(node, bound=False)
        elif isinstance(node, ast.ClassDef):
            members[node.name] = dict(_read_members(node))
    quoted = sorted({word.decode() for word in _QUOTED_MODULE.findall(data)}) if is_package else []
    names = Reader(module, is_package=is_package).read(tree, data, (0, 0))
    return FileNames(names, functions, members, tuple(quoted))


def read_signature(text: str) -> Call:
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


def _read_members(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    """Attributes set on `self` first, so that what the class itself declares under the same name wins."""
    body = list(iterate_statements(ast.Module(body=node.body, type_ignores=[])))
    functions = [child for child in body if isinstance(child, Function)]
    for function in functions:
        for name in _find_set_on_self(function):
            yield name, SET_ON_SELF
    for child in body:
        if isinstance(child, Function):
            if child.name == "__getattr__":
                yield child.name, FORWARDS if _forwards(child) else SERVES + ",".join(_find_words(node))
            else:
                yield child.name, PLAIN if _is_property(child) else f"({_write_signature(child, bound=True)})"
        elif isinstance(child, ast.ClassDef):
            yield child.name, PLAIN
        elif isinstance(child, ast.Assign):
            for target in child.targets:
                if isinstance(target, ast.Name):
                    yield target.id, PLAIN
        elif isinstance(child, ast.AnnAssign) and isinstance(child.target, ast.Name):
            yield child.target.id, PLAIN if _is_left_out(child.value) else FIELD


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
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    first_default = len(positional) - len(arguments.defaults)
    parts = [a.arg + "=" * (index >= first_default) for index, a in enumerate(positional)]
    if bound and parts and not any(dotted_name(d) == "staticmethod" for d in function.decorator_list):
        parts = parts[1:]
    if arguments.vararg or arguments.kwonlyargs:
        parts.append("*args" if arguments.vararg else "*")
    parts += [
        a.arg + "=" * (default is not None)
        for a, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    ]
    if arguments.kwarg:
        parts.append("**")
        parts += [f"?{name}" for name in sorted(set(_find_taken(function, arguments.kwarg.arg)))]
    parts += [f"~{name}" for name in _find_renamed(function)]
    return ",".join(parts)


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
