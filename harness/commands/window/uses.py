"""What a file of the user's or of a model takes from the indexed libraries: imports, attributes, calls.

A value's class is known where the source says it: an annotation, a construction, `isinstance`, what an Auto class hands
out. Code that asks before it takes (`try`, `if is_x_available()`, `hasattr`) states no need and is left out.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Literal

import msgspec

from preflight_ocr.harness.commands.window.releases import PACKAGES
from preflight_ocr.harness.facts import Site
from preflight_ocr.probes.reading.definitions import list_fields, read_class
from preflight_ocr.probes.reading.source import (
    Function,
    Source,
    dotted_name,
    find_calls,
    find_given_keywords,
    find_method,
    find_spelt_dicts,
    names_type_checking,
)

Kind = Literal["import", "attribute", "member", "call", "loose", "slots"]
SLOTS = "attributes"  # the class attribute in which a processor lists the parts it is made of

# What these classes hand out is an instance of another class. Types, not renames: what that class has, the index says.
_HANDED_OUT = {
    "AutoConfig": "transformers.PretrainedConfig",
    "AutoTokenizer": "transformers.tokenization_utils_base.PreTrainedTokenizerBase",
    "AutoProcessor": "transformers.processing_utils.ProcessorMixin",
    "AutoModel": "transformers.PreTrainedModel",
}
_SAME_OBJECT = ("to", "eval", "train", "cuda", "cpu", "half", "float", "bfloat16", "requires_grad_")
_CATCHES = ("", "AttributeError", "TypeError", "ImportError", "ModuleNotFoundError", "Exception", "BaseException")
_VERSIONS = ("__version__", "version", "Version")


class Typed(msgspec.Struct, frozen=True):
    """The class of a value: a dotted name, or the name of a class in the code read. `exact`: constructed here."""

    target: str
    own: bool = False
    exact: bool = False


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """One thing the code needs. `function` is the function it stands in, None where importing the file needs it.

    import: `name` of the module `target`. attribute: the same, written `target.name`. member: `name` of an instance of
    `target`. call: `target` (its method `name`, or itself) called with `keywords` and `positional` arguments, which is
    None where they cannot be counted. loose: `name` of a value whose class the source does not tell. slots: the class
    `name` of the code read inherits from `target` and is constructed with `keywords` and nothing else.
    """

    kind: Kind
    package: str
    target: str
    name: str | None
    site: Site
    function: str | None
    own: bool = False
    exact: bool = False
    keywords: tuple[str, ...] = ()
    positional: int | None = None

    def question(self) -> Use:
        """The use without its place: equal for all uses that have the same answer."""
        return msgspec.structs.replace(self, site=_NOWHERE, function=None)


_NOWHERE = Site(file="", line=0, code="", kind="", runs=None)


class OwnClass(msgspec.Struct, frozen=True, kw_only=True):
    """A class in the code read; `bases` as dotted names with import aliases undone, `passed`: keywords given to super()."""

    name: str
    bases: tuple[str, ...]
    members: frozenset[str]
    fields: frozenset[str]
    passed: frozenset[str]
    computed: bool


def find_own_classes(sources: Iterable[Source]) -> dict[str, OwnClass]:
    """The classes of all files by name."""
    found: dict[str, OwnClass] = {}
    for source in sources:
        for node, _ in source.nodes:
            if isinstance(node, ast.ClassDef):
                known, here = found.get(node.name), _read_class(source, node)
                found[node.name] = _unite(known, here) if known is not None else here
    return found


def find_uses(source: Source, own: dict[str, OwnClass]) -> tuple[Use, ...]:
    """Everything the file needs of the indexed libraries, in the order of its lines."""
    walk = _Walk(source, own)
    walk.run()
    found = [*_find_imports(source), *_find_slots(source), *walk.found]
    return tuple(dict.fromkeys(sorted(found, key=lambda use: use.site.line)))


def is_library(dotted: str | None) -> bool:
    """Whether a dotted name begins with an indexed library."""
    return dotted is not None and dotted.partition(".")[0] in PACKAGES


def _find_imports(source: Source) -> Iterator[Use]:
    for site in source.imports:
        if site.level or site.tried or site.guarded or site.branched or not is_library(site.module):
            continue
        package = site.module.partition(".")[0]
        function = "a function" if site.deferred else None
        place = source.site(site)
        yield Use(kind="import", package=package, target=site.module, name=site.name, site=place, function=function)


def _find_slots(source: Source) -> Iterator[Use]:
    """Classes that construct themselves otherwise than the library's class they inherit from, whose parts they keep."""
    for node, _ in source.nodes:
        if not isinstance(node, ast.ClassDef) or not node.bases or SLOTS in _read_class(source, node).members:
            continue
        target = source.full_name(node.bases[0])
        init = find_method(node, "__init__")
        if init is None or init.args.vararg or target is None or not is_library(target):
            continue
        yield Use(
            kind="slots",
            package=target.partition(".")[0],
            target=target,
            name=node.name,
            site=source.site(node),
            function="from_pretrained",
            keywords=tuple(argument.arg for argument in (*init.args.args[1:], *init.args.kwonlyargs)),
        )


def _read_class(source: Source, node: ast.ClassDef) -> OwnClass:
    kinds = read_class(node).members
    inside = list(ast.walk(node))
    stored = {inner.attr for inner in inside if isinstance(inner, ast.Attribute) and isinstance(inner.ctx, ast.Store)}
    supers = [
        c for c in inside if isinstance(c, ast.Call) and isinstance(c.func, ast.Attribute) and _is_super(c.func.value)
    ]
    bases = [source.full_name(base.value if isinstance(base, ast.Subscript) else base) for base in node.bases]
    return OwnClass(
        name=node.name,
        bases=tuple(base for base in bases if base),
        members=frozenset({*kinds, *stored}),
        fields=frozenset(list_fields(kinds)),
        passed=frozenset(keyword.arg for call in supers for keyword in call.keywords if keyword.arg),
        computed=None in bases or any(keyword.arg == "metaclass" for keyword in node.keywords),
    )


def _unite(one: OwnClass, other: OwnClass) -> OwnClass:
    """Two classes of one name: what either has may be there, and nothing is surely missing."""
    return OwnClass(
        name=one.name,
        bases=tuple(dict.fromkeys((*one.bases, *other.bases))),
        members=one.members | other.members,
        fields=one.fields | other.fields,
        passed=one.passed | other.passed,
        computed=True,
    )


class _Context(msgspec.Struct, frozen=True):
    """Where a node stands: `asked` when the code checks first, `owner` the class whose body this is."""

    asked: bool = False
    function: str | None = None
    owner: str | None = None
    self_class: str | None = None


_Step = tuple[ast.AST, _Context] | Callable[[], None]


class _Walk:
    """Goes through a file in the order of its lines, without recursion, remembering the class of each name."""

    def __init__(self, source: Source, own: dict[str, OwnClass]) -> None:
        self._source, self._own = source, own
        self.found: list[Use] = []
        self._scopes: list[dict[str, Typed | None]] = [{}]
        self._on_self: dict[tuple[str, str], Typed | None] = {}
        self._dicts = find_spelt_dicts(source)
        self._probed = _find_probed_names(source)
        self._answers = _find_answers(source)

    def run(self) -> None:
        """Walk the whole file."""
        stack: list[_Step] = [(self._source.tree, _Context())]
        while stack:
            step = stack.pop()
            if callable(step):
                step()
            else:
                stack += reversed(list(self._enter(*step)))

    def _enter(self, node: ast.AST, here: _Context) -> Iterator[_Step]:
        """What comes after a node, in order: the nodes below it, and what to note between them."""
        if isinstance(node, Function):
            yield from self._enter_function(node, here)
        elif isinstance(node, ast.ClassDef):
            inner = msgspec.structs.replace(here, owner=node.name)
            yield from ((child, here) for child in (*node.decorator_list, *node.bases, *node.keywords))
            yield from ((child, inner) for child in node.body)
        elif isinstance(node, (ast.If, ast.IfExp)):
            yield from self._enter_condition(node, here)
        elif isinstance(node, (ast.Try, ast.TryStar)):
            inner = msgspec.structs.replace(here, asked=here.asked or _may_recover(node))
            yield from ((child, inner) for child in (*node.body, *node.handlers))
            yield from ((child, here) for child in (*node.orelse, *node.finalbody))
        elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.NamedExpr)):
            yield from self._enter_assignment(node, here)
        else:
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                self._note_attribute(node, here)
            elif isinstance(node, ast.Call):
                self._note_call(node, here)
            yield from ((child, here) for child in ast.iter_child_nodes(node))

    def _enter_function(self, node: Function, here: _Context) -> Iterator[_Step]:
        arguments = node.args
        outside = [*node.decorator_list, *arguments.defaults, *filter(None, arguments.kw_defaults)]
        yield from ((child, here) for child in outside)
        listed = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        scope = {a.arg: self._read_annotation(a.annotation) for a in listed}
        scope |= {a.arg: None for a in (arguments.vararg, arguments.kwarg) if a is not None}
        owner = here.owner or here.self_class
        if here.owner and listed and listed[0].arg == "self":
            scope["self"] = Typed(here.owner, own=True)
        yield lambda: self._scopes.append(scope)
        inner = _Context(asked=here.asked, function=node.name, self_class=owner)
        yield from ((child, inner) for child in node.body)
        yield lambda: (self._scopes.pop(), None)[1]

    def _enter_condition(self, node: ast.If | ast.IfExp, here: _Context) -> Iterator[_Step]:
        asks = here.asked or _asks_first(node.test) or self._asks_by_name(node.test)
        inner = msgspec.structs.replace(here, asked=asks)
        yield node.test, here
        narrowed = self._read_isinstance(node.test)
        if narrowed is not None:
            name, kind = narrowed
            scope = self._scopes[-1]
            before = self._look_up(name)
            yield lambda: scope.__setitem__(name, kind)
        body, orelse = (node.body, node.orelse) if isinstance(node, ast.If) else ([node.body], [node.orelse])
        yield from ((child, inner) for child in body)
        if narrowed is not None:
            yield lambda: scope.__setitem__(name, before) if scope.get(name) == kind else None
        yield from ((child, inner) for child in orelse)

    def _enter_assignment(self, node: ast.Assign | ast.AnnAssign | ast.NamedExpr, here: _Context) -> Iterator[_Step]:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if node.value is not None:
            yield node.value, here
        yield from ((target, here) for target in targets)

        def bind() -> None:
            kind = self._infer(node.value, here) if node.value is not None else None
            if isinstance(node, ast.AnnAssign):
                kind = kind or self._read_annotation(node.annotation)
            for target in targets:
                self._bind(target, kind, here)

        yield bind

    def _bind(self, target: ast.expr, kind: Typed | None, here: _Context) -> None:
        if isinstance(target, ast.Name):
            self._scopes[-1][target.id] = kind
        elif isinstance(target, ast.Attribute) and here.self_class and dotted_name(target.value) == "self":
            key = (here.self_class, target.attr)
            self._on_self[key] = kind if self._on_self.get(key, kind) == kind else None
        elif isinstance(target, (ast.Tuple, ast.List)):
            for element in target.elts:
                self._bind(element, None, here)

    def _asks_by_name(self, test: ast.expr) -> bool:
        return any(isinstance(node, ast.Name) and node.id in self._answers for node in ast.walk(test))

    def _look_up(self, name: str) -> Typed | None:
        return next((scope[name] for scope in reversed(self._scopes) if name in scope), None)

    def _is_shadowed(self, node: ast.AST) -> bool:
        first = (dotted_name(node) or "").partition(".")[0]
        return any(first in scope for scope in self._scopes)

    def _is_imported(self, node: ast.AST) -> bool:
        return (dotted_name(node) or "").partition(".")[0] in self._source.aliases and not self._is_shadowed(node)

    def _name(self, node: ast.AST) -> str | None:
        """The library's dotted name of an expression, or None."""
        full = self._source.full_name(node)
        return full if is_library(full) and not self._is_shadowed(node) else None

    def _name_class(self, node: ast.AST) -> Typed | None:
        """The class an expression names."""
        full = self._name(node)
        if full is not None:
            return Typed(full) if full.rpartition(".")[2][:1].isupper() else None
        name = (dotted_name(node) or "").rpartition(".")[2]
        return Typed(name, own=True) if name in self._own and not self._is_shadowed(node) else None

    def _read_annotation(self, node: ast.AST | None) -> Typed | None:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) < 200:
            try:
                node = ast.parse(node.value, mode="eval").body
            except (SyntaxError, ValueError):
                return None
        if isinstance(node, ast.Subscript) and (dotted_name(node.value) or "").rpartition(".")[2] == "Optional":
            return self._read_annotation(node.slice)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            sides = [side for side in (node.left, node.right) if not _is_none(side)]
            return self._read_annotation(sides[0]) if len(sides) == 1 else None
        return self._name_class(node) if isinstance(node, (ast.Name, ast.Attribute)) else None

    def _read_isinstance(self, test: ast.expr) -> tuple[str, Typed | None] | None:
        tests = test.values if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And) else [test]
        for call in tests:
            if isinstance(call, ast.Call) and dotted_name(call.func) == "isinstance" and len(call.args) == 2:
                name = call.args[0]
                if isinstance(name, ast.Name):
                    return name.id, self._name_class(call.args[1])
        return None

    def _infer(self, node: ast.AST, here: _Context) -> Typed | None:
        """The class of an expression's value, where the source tells it."""
        if isinstance(node, ast.Name):
            return self._look_up(node.id)
        if isinstance(node, ast.Attribute):
            if here.self_class and dotted_name(node.value) == "self":
                return self._on_self.get((here.self_class, node.attr))
            return None
        if not isinstance(node, ast.Call):
            return None
        made = self._name_class(node.func)
        if made is not None:
            return msgspec.structs.replace(made, exact=not made.own)
        if not isinstance(node.func, ast.Attribute):
            return None
        maker = self._name_class(node.func.value)
        if maker is not None and node.func.attr.startswith("from_"):
            return _hand_out(maker)
        return self._infer(node.func.value, here) if node.func.attr in _SAME_OBJECT else None

    def _note_attribute(self, node: ast.Attribute, here: _Context) -> None:
        if here.asked or node.attr.startswith("__") or node.attr in self._probed:
            return
        base = self._name(node.value)
        if base is not None:
            self._note("attribute", Typed(base), node.attr, node, here)
            return
        kind = self._infer(node.value, here)
        if kind is not None:
            self._note("member", kind, node.attr, node, here)

    def _note_call(self, node: ast.Call, here: _Context) -> None:
        if here.asked:
            return
        target, method = self._find_callee(node, here)
        if target is None:
            self._note_loose(node.func, here)
            return
        spelt = find_given_keywords(node, lambda name: self._find_dict(name, here))
        given = tuple(dict.fromkeys(name for name, _ in spelt))
        counted = not any(isinstance(argument, ast.Starred) for argument in node.args)
        counted &= all(keyword.arg is not None for keyword in node.keywords)
        positional = len(node.args) if counted else None
        self._note("call", target, method, node, here, keywords=given, positional=positional)

    def _note_loose(self, function: ast.expr, here: _Context) -> None:
        """A method of a value of unknown class, under a name that is not everybody's."""
        if not isinstance(function, ast.Attribute) or "_" not in function.attr.strip("_"):
            return
        if function.attr not in self._probed and not self._is_imported(function.value):
            self._note("loose", Typed("", own=True), function.attr, function, here)

    def _find_callee(self, node: ast.Call, here: _Context) -> tuple[Typed | None, str | None]:
        """(class or function, method): the method is None for a function and "__init__" for a construction."""
        function = node.func
        if isinstance(function, ast.Attribute) and _is_super(function.value):
            return (Typed(f"super {here.self_class}", own=True), function.attr) if here.self_class else (None, None)
        made = self._name_class(function)
        if made is not None:
            return made, "__init__"
        full = self._name(function)
        if isinstance(function, ast.Attribute):
            owner = self._name_class(function.value)
            if owner is not None:
                return _hand_out(owner) if function.attr == "from_pretrained" else owner, function.attr
            kind = None if full else self._infer(function.value, here)
            if kind is not None:
                return kind, function.attr
        return (Typed(full), None) if full else (None, None)

    def _find_dict(self, name: str, here: _Context) -> ast.expr | None:
        """The dict that a name holds: one of this function, or of the file where the function has no such name."""
        if (here.function, name) in self._dicts:
            return self._dicts[here.function, name]
        inner = any(name in scope for scope in self._scopes[1:])
        return None if inner else self._dicts.get((None, name))

    def _note(
        self,
        kind: Kind,
        target: Typed,
        name: str | None,
        node: ast.AST,
        here: _Context,
        *,
        keywords: tuple[str, ...] = (),
        positional: int | None = None,
    ) -> None:
        package = "" if target.own else target.target.partition(".")[0]
        site, function = self._source.site(node), here.function
        self.found.append(
            Use(
                kind=kind,
                package=package,
                target=target.target,
                name=name,
                site=site,
                function=function,
                own=target.own,
                exact=target.exact,
                keywords=keywords,
                positional=positional,
            )
        )


def _hand_out(maker: Typed) -> Typed:
    name = maker.target.rpartition(".")[2]
    key = "AutoModel" if name.startswith("AutoModel") else name
    return Typed(_HANDED_OUT[key]) if key in _HANDED_OUT and not maker.own else maker


def _is_super(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and dotted_name(node.func) == "super"


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _asks_first(test: ast.expr) -> bool:
    """`is_x_available()`, `hasattr(...)`, a comparison of versions, `TYPE_CHECKING`."""
    if names_type_checking(test):
        return True
    for call in find_calls(test):
        name = (dotted_name(call.func) or "").rpartition(".")[2]
        if name in ("hasattr", "getattr", "callable") or re.match(r"_?is_\w*(available|version|_ge|greater)", name):
            return True
    names = (node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "") for node in ast.walk(test))
    return any(name in _VERSIONS for name in names)


def _may_recover(node: ast.Try | ast.TryStar) -> bool:
    """Whether a handler would catch what a missing name raises, and does not raise again."""
    for handler in node.handlers:
        kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
        caught = {(dotted_name(kind) or "") if kind is not None else "" for kind in kinds}
        if caught & set(_CATCHES) and not any(isinstance(inner, ast.Raise) for inner in ast.walk(handler)):
            return True
    return False


def _find_probed_names(source: Source) -> frozenset[str]:
    """Attributes the file asks for with `hasattr` or `getattr` before it takes them."""
    found = set()
    for call in source.find_calls():
        if dotted_name(call.func) in ("hasattr", "getattr") and len(call.args) > 1:
            name = call.args[1]
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                found.add(name.value)
    return frozenset(found)


def _find_answers(source: Source) -> frozenset[str]:
    """Names that hold such an answer: `HAS_CACHE = hasattr(...)`, `old = parse(transformers.__version__) < ...`."""
    assignments = (node for node, _ in source.nodes if isinstance(node, ast.Assign) and _asks_first(node.value))
    return frozenset(target.id for node in assignments for target in node.targets if isinstance(target, ast.Name))
