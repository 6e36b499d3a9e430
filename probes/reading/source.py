"""Python source as a syntax tree: read, never run."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from preflight_ocr.harness.facts import Parameter, Signature, Site, Unknown
from preflight_ocr.probes.reading.json_files import read_bytes

_COMPILED = 2**20  # bytes; some seconds
_LARGEST = 2**20  # bytes; a syntax tree takes some 500 times as much memory, and no model's file has a third of it
_TRIES = (ast.Try, ast.TryStar)
Function = ast.FunctionDef | ast.AsyncFunctionDef


class ImportSite(msgspec.Struct, frozen=True, kw_only=True):
    """One imported module or name. `level` counts the dots of a relative import; the flags tell what is around it."""

    module: str
    name: str | None
    level: int
    line: int
    tried: bool = False  # inside try/except
    guarded: bool = False  # inside `if is_x_available():`
    branched: bool = False  # inside any if
    deferred: bool = False  # inside a function
    renamed: bool = False  # import x as y


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """One parsed file. `name` is its path relative to its root, for messages; `aliases`: local name -> dotted.

    `nodes` is every node of the tree, with the name of the innermost function around it (None at module or class level),
    parents before children: the tree is walked once, whoever asks.
    """

    path: Path
    name: str
    tree: ast.Module
    lines: tuple[str, ...]
    nodes: tuple[tuple[ast.AST, str | None], ...]
    imports: tuple[ImportSite, ...]
    aliases: dict[str, str]

    def find_calls(self) -> Iterator[ast.Call]:
        """Every call in the file."""
        return (node for node, _ in self.nodes if isinstance(node, ast.Call))

    def site(self, node: ast.AST | ImportSite, kind: str = "") -> Site:
        """Where `node` stands, with its first line."""
        line = node.line if isinstance(node, ImportSite) else getattr(node, "lineno", 1)
        code = self.lines[line - 1].strip() if line <= len(self.lines) else ""
        return Site(file=self.name, line=line, code=code[:200], kind=kind, runs=None)

    def full_name(self, node: ast.AST) -> str | None:
        """The dotted name of an expression with import aliases undone: `np.load` -> `numpy.load`."""
        dotted = dotted_name(node)
        if dotted is None:
            return None
        first, _, rest = dotted.partition(".")
        return ".".join(part for part in (self.aliases.get(first, first), rest) if part)


def read_source(path: Path, name: str) -> Source | Unknown:
    """Parse one file. Unknown, with file and line, for anything this Python cannot parse."""
    data = read_bytes(path, _LARGEST)
    if isinstance(data, Unknown):
        return data
    tree = parse(data, name)
    if isinstance(tree, Unknown):
        return tree
    text = data.decode("utf-8-sig", errors="replace")
    nodes = _walk(tree)
    return Source(
        path=path,
        name=name,
        tree=tree,
        lines=tuple(text.split("\n")),
        nodes=nodes,
        imports=find_imports(tree),
        aliases=dict(_find_aliases(nodes)),
    )


def parse(data: bytes, name: str) -> ast.Module | Unknown:
    """The syntax tree, or Unknown with file and line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(data, name)
            if len(data) <= _COMPILED:  # a `return` outside of a function is found by compiling alone; nothing is run
                compile(tree, name, "exec", dont_inherit=True)
            return tree
    except SyntaxError as error:
        return Unknown(reason=f"{name}:{error.lineno or 1}: not Python that this interpreter can read: {error.msg}")
    except (ValueError, RecursionError, MemoryError) as error:
        return Unknown(reason=f"{name}: not Python that can be read: {error or type(error).__name__}")


def dotted_name(node: ast.AST) -> str | None:
    """`a.b.c` for an attribute chain on a name, else None."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    return ".".join([node.id, *reversed(parts)])


def find_imports(tree: ast.Module) -> tuple[ImportSite, ...]:
    """Every import of a file in the order of its lines, with what stands around it.

    Without recursion: a hostile file may nest as deep as the parser allows.
    """
    found: list[ImportSite] = []
    stack: list[tuple[ast.AST, bool, bool, bool, bool]] = [(tree, False, False, False, False)]
    while stack:
        node, tried, guarded, branched, deferred = stack.pop()
        if isinstance(node, ast.Import):
            for alias in node.names:
                found.append(_place(node, alias.name, None, 0, (tried, guarded, branched, deferred), alias.asname))
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                module = node.module or ""
                flags = (tried, guarded, branched, deferred)
                found.append(_place(node, module, alias.name, node.level, flags, alias.asname))
        if isinstance(node, _TRIES):
            stack += [(child, True, guarded, branched, deferred) for child in (*node.body, *node.handlers)]
            stack += [(child, tried, guarded, branched, deferred) for child in (*node.orelse, *node.finalbody)]
        elif isinstance(node, ast.If):
            asks = guarded or _asks_availability(node.test)
            stack += [(child, tried, asks, True, deferred) for child in (*node.body, *node.orelse)]
        else:
            inner = deferred or isinstance(node, Function | ast.Lambda)
            children = (child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.expr))
            stack += [(child, tried, guarded, branched, inner) for child in children]
    return tuple(sorted(found, key=lambda site: site.line))


def find_calls(tree: ast.AST) -> Iterator[ast.Call]:
    """Every call below a node."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def find_class(tree: ast.Module, name: str) -> ast.ClassDef | None:
    """The last top-level class of that name: a later definition replaces an earlier one."""
    classes = [node for node in iterate_statements(tree) if isinstance(node, ast.ClassDef) and node.name == name]
    return classes[-1] if classes else None


def find_method(node: ast.ClassDef, name: str) -> Function | None:
    """A method defined in the class itself."""
    functions = (child for child in node.body if isinstance(child, Function))
    return next((child for child in functions if child.name == name), None)


def iterate_statements(tree: ast.Module | ast.ClassDef, *, skip_type_checking: bool = False) -> Iterator[ast.stmt]:
    """The statements that run when the module, or the class, is made, those inside if, try, with and loops included."""
    stack: list[ast.stmt] = list(reversed(tree.body))
    while stack:
        node = stack.pop()
        yield node
        if isinstance(node, Function | ast.ClassDef):
            continue
        inner: list[ast.stmt] = []
        if not (skip_type_checking and isinstance(node, ast.If) and names_type_checking(node.test)):
            inner += getattr(node, "body", [])
        for handler in getattr(node, "handlers", []):
            inner += handler.body
        for case in getattr(node, "cases", []):
            inner += case.body
        inner += [*getattr(node, "orelse", []), *getattr(node, "finalbody", [])]
        stack += reversed(inner)


def names_type_checking(test: ast.expr) -> bool:
    """Whether a condition is `TYPE_CHECKING`."""
    return (dotted_name(test) or "").rpartition(".")[2] == "TYPE_CHECKING"


def read_signature(function: Function, owner: str, *, bound: bool = True) -> Signature:
    """The parameters as `inspect.signature` would give them; `self` left out of a method, which is `bound`."""
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    first_default = len(positional) - len(arguments.defaults)
    parameters = [
        Parameter(
            name=argument.arg,
            kind="positional_only" if index < len(arguments.posonlyargs) else "positional_or_keyword",
            has_default=index >= first_default,
        )
        for index, argument in enumerate(positional)
    ]
    if arguments.vararg:
        parameters.append(Parameter(name=arguments.vararg.arg, kind="var_positional", has_default=True))
    parameters += [
        Parameter(name=argument.arg, kind="keyword_only", has_default=default is not None)
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    ]
    if arguments.kwarg:
        parameters.append(Parameter(name=arguments.kwarg.arg, kind="var_keyword", has_default=True))
    if bound and positional and not any(dotted_name(d) == "staticmethod" for d in function.decorator_list):
        parameters = parameters[1:]
    return Signature(owner=owner, parameters=tuple(parameters))


def find_own_names(sources: Iterable[Source]) -> frozenset[str]:
    """Functions and attributes that the code itself defines: taking these is no library's business."""
    nodes = [node for source in sources for node, _ in source.nodes]
    functions = {node.name for node in nodes if isinstance(node, Function)}
    stored = {node.attr for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)}
    return frozenset(functions | stored)


Spelt = dict[tuple[str | None, str], ast.expr]


def find_spelt_dicts(source: Source) -> Spelt:
    """(function, name) -> the dict, or the call, that a name holds; the function is None outside all of them."""
    return {
        (function, target.id): node.value
        for node, function in source.nodes
        if isinstance(node, ast.Assign) and isinstance(node.value, (ast.Dict, ast.Call))
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def find_given_keywords(call: ast.Call, find_dict: Callable[[str], ast.expr | None]) -> Iterator[tuple[str, ast.AST]]:
    """The keywords of a call with their places, those of a dict that is spelt out and given with ** included."""
    for keyword in call.keywords:
        if keyword.arg is not None:
            yield keyword.arg, keyword
            continue
        spelt = find_dict(keyword.value.id) if isinstance(keyword.value, ast.Name) else keyword.value
        if isinstance(spelt, ast.Dict):
            keys = [key for key in spelt.keys if isinstance(key, ast.Constant)]
            yield from ((key.value, key) for key in keys if isinstance(key.value, str))
        elif isinstance(spelt, ast.Call) and dotted_name(spelt.func) == "dict":
            yield from ((inner.arg, inner) for inner in spelt.keywords if inner.arg is not None)


def get_text_argument(call: ast.Call, position: int, keyword: str) -> str | None:
    """A literal string given at `position` or as `keyword`, or None."""
    given = [call.args[position]] if len(call.args) > position else []
    given += [k.value for k in call.keywords if k.arg == keyword]
    values = (node.value for node in given if isinstance(node, ast.Constant))
    return next((value for value in values if isinstance(value, str)), None)


def _walk(tree: ast.Module) -> tuple[tuple[ast.AST, str | None], ...]:
    found: list[tuple[ast.AST, str | None]] = []
    stack: list[tuple[ast.AST, str | None]] = [(tree, None)]
    while stack:
        here = stack.pop()
        found.append(here)
        node, function = here
        if isinstance(node, Function):
            function = node.name
        for field in reversed(node._fields):
            value = getattr(node, field, None)
            if isinstance(value, list):
                stack += [(item, function) for item in reversed(value) if isinstance(item, ast.AST)]
            elif isinstance(value, ast.AST) and not isinstance(value, ast.expr_context):
                stack.append((value, function))
    return tuple(found)


def _find_aliases(nodes: Iterable[tuple[ast.AST, str | None]]) -> Iterator[tuple[str, str]]:
    for node, _ in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield (alias.asname, alias.name) if alias.asname else (alias.name.split(".")[0],) * 2
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _asks_availability(test: ast.expr) -> bool:
    """`is_flash_attn_2_available()` and its like, alone or inside a larger condition."""
    names = (dotted_name(call.func) or "" for call in find_calls(test))
    return any(name.rpartition(".")[2].startswith("is_") and "available" in name for name in names)


def _place(
    node: ast.stmt, module: str, name: str | None, level: int, flags: tuple[bool, bool, bool, bool], asname: str | None
) -> ImportSite:
    tried, guarded, branched, deferred = flags
    return ImportSite(
        module=module,
        name=name,
        level=level,
        line=node.lineno,
        tried=tried,
        guarded=guarded,
        branched=branched,
        deferred=deferred,
        renamed=asname is not None,
    )
