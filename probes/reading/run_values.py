"""The values of the training section held against the installed transformers' own tables, read from its source.

Which names an enumeration has, which integration a name of `report_to` stands for, and which package an optimizer, an
integration or a switch needs: all of it is what the installed release says. What its source does not show plainly is not
told.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from preflight_ocr.harness.config import compat
from preflight_ocr.harness.config.schema import Config
from preflight_ocr.harness.facts import KeyFact
from preflight_ocr.harness.foreign.files import read_bytes
from preflight_ocr.probes.reading.exports import Exports

_ENUMERATED = {
    "optim": ("training_args", "OptimizerNames"),
    "lr_scheduler_type": ("trainer_utils", "SchedulerType"),
    "eval_strategy": ("trainer_utils", "IntervalStrategy"),
    "logging_strategy": ("trainer_utils", "IntervalStrategy"),
    "save_strategy": ("trainer_utils", "SaveStrategy"),
}
_INTEGRATIONS = "integrations.integration_utils"
_OPTIMIZERS = ("trainer_optimizer", "trainer")  # where releases keep how an optimizer is made
_AVAILABILITY = ("utils.import_utils", _INTEGRATIONS, "integrations.deepspeed")
_NO_INTEGRATION = ("all", "none")


def find_refused(config: Config, exports: Exports) -> Iterator[KeyFact]:
    """Values that no installed enumeration has, with what may have been meant; and two that exclude each other."""
    tables = _Tables(exports)
    for name, value in _list_given(config):
        where = _ENUMERATED.get(name)
        known = tables.list_values(*where) if where else tables.integrations if name == "report_to" else ()
        asked = value if isinstance(value, list) else [value]
        for one in asked:
            if (
                not known
                or not isinstance(one, str)
                or one in known
                or (name == "report_to" and one in _NO_INTEGRATION)
            ):
                continue
            near = difflib.get_close_matches(one, sorted(known), n=1)
            yield KeyFact(
                path=_find_path(config, name),
                nearest=near[0] if near else None,
                detail=f"{one!r} is none of the installed transformers' {len(known)} values",
            )
    if config.subject.trainer is not None:
        return
    if config.training.fp16 and config.training.bf16:
        yield KeyFact(
            path=_find_path(config, "fp16"), nearest=None, detail="fp16 and bf16 are both true: one run has one"
        )
    if config.training.eval_strategy in ("steps", "epoch") and config.data.train_path and config.data.val_path is None:
        detail = f"{config.training.eval_strategy!r} without rows to evaluate: data.val_path is not set"
        yield KeyFact(path=_find_path(config, "eval_strategy"), nearest=None, detail=detail)


def find_lacking(config: Config, exports: Exports) -> Iterator[KeyFact]:
    """Values that need a package which is not installed: `nearest` is the package, `detail` the value."""
    tables = _Tables(exports)
    asked = config.model.quantization if config.subject.model is None else None
    for name in ("load_in_4bit", "load_in_8bit"):
        if getattr(asked, name, False) and not exports.is_installed("bitsandbytes"):
            yield KeyFact(path=f"model.quantization.{name}", nearest="bitsandbytes", detail=f"{name}: true")
    for name, value in _list_given(config):
        for one in value if isinstance(value, list) else [value]:
            packages = tables.find_packages(name, one)
            if packages and not any(exports.is_installed(package) for package in packages):
                yield KeyFact(path=_find_path(config, name), nearest=packages[0], detail=f"{name}: {one}")


def _list_given(config: Config) -> Iterator[tuple[str, Any]]:
    """The training section's values under today's names; none where a part of the user's own makes the arguments."""
    if config.subject.trainer is None:
        yield from ((compat.modern_name(name), value) for name, value in config.training.arguments.items())


def _find_path(config: Config, name: str) -> str:
    old = next((key for key in config.given if compat.modern_name(key.rpartition(".")[2]) == name), None)
    return old or f"training.{name}"


class _Tables:
    """The source of the installed transformers, module by module."""

    def __init__(self, exports: Exports) -> None:
        self.exports = exports
        self.trees: dict[str, ast.Module | None] = {}

    def read(self, module: str) -> ast.Module | None:
        if module not in self.trees:
            path = self.exports.find_source(f"transformers.{module}")
            try:
                self.trees[module] = None if path is None else ast.parse(read_bytes(path))
            except (OSError, SyntaxError, ValueError):
                self.trees[module] = None
        return self.trees[module]

    def find(self, module: str, name: str) -> Any:
        """The class, function or assigned value of this name at the top of a module; None where there is none."""
        tree = self.read(module)
        for node in ast.walk(tree) if tree else ():
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
                return node
            if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                    return node.value
        return None

    def list_members(self, module: str, name: str) -> dict[str, str]:
        """Member -> value of an enumeration."""
        found = self.find(module, name)
        body = found.body if isinstance(found, ast.ClassDef) else ()
        return {
            node.targets[0].id: node.value.value
            for node in body
            if isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        }

    def list_values(self, module: str, name: str) -> tuple[str, ...]:
        return tuple(self.list_members(module, name).values())

    @cached_property
    def integrations(self) -> dict[str, str]:
        """Name in `report_to` -> class of the callback."""
        table = self.find(_INTEGRATIONS, "INTEGRATION_TO_CALLBACK")
        pairs = zip(table.keys, table.values, strict=True) if isinstance(table, ast.Dict) else ()
        return {str(k.value): v.id for k, v in pairs if isinstance(k, ast.Constant) and isinstance(v, ast.Name)}

    def find_packages(self, name: str, value: Any) -> tuple[str, ...]:
        """The packages one of which this value needs; none where the source does not say."""
        if name == "report_to" and value in self.integrations:
            # What a callback needs, its constructor asks for.
            return self.read_demand(self.find(_INTEGRATIONS, self.integrations[value]))
        if name == "optim" and isinstance(value, str):
            member = {v: k for k, v in self.list_members(*_ENUMERATED["optim"]).items()}.get(value)
            demands = (self.read_demand(maker) for maker in self._find_makers(member)) if member else iter(())
            return next(filter(None, demands), ())
        if value not in (None, False, ""):
            return self.read_check(f"is_{name.removeprefix('use_')}_available")
        return ()

    def _find_makers(self, member: str) -> Iterator[Any]:
        """The functions and the branches that may make an optimizer: each that names it."""
        for module in _OPTIMIZERS:
            tree = self.read(module)
            for node in ast.walk(tree) if tree else ():
                if isinstance(node, ast.If) and _names(node.test, member):
                    yield ast.Module(body=node.body, type_ignores=[])
                if not isinstance(node, ast.Dict):
                    continue
                for key, value in zip(node.keys, node.values, strict=True):
                    if key is not None and _names(key, member) and isinstance(value, ast.Name):
                        yield self.find(module, value.id)
                    if key is None and isinstance(value, ast.Call) and len(value.args) == 2:
                        listed, maker = value.args
                        members = self.find(module, listed.id) if isinstance(listed, ast.Name) else listed
                        if members is not None and _names(members, member) and isinstance(maker, ast.Name):
                            yield self.find(module, maker.id)

    def read_demand(self, node: Any) -> tuple[str, ...]:
        """The packages behind `if not is_x_available(): raise`, behind `has_x = is_x_available()` and such a check, or
        behind an import whose failure is raised in other words."""
        for check in ast.walk(node) if node is not None else ():
            if not isinstance(check, ast.If) or not any(isinstance(inner, ast.Raise) for inner in check.body):
                continue
            if not isinstance(check.test, ast.UnaryOp) or not isinstance(check.test.op, ast.Not):
                continue
            asked = check.test.operand
            called = asked if isinstance(asked, ast.Call) else self._find_assigned(node, asked)
            if isinstance(called, ast.Call) and isinstance(called.func, ast.Name):
                return self.read_check(called.func.id)
        return tuple(dict.fromkeys(_list_imported(node))) if node is not None else ()

    def _find_assigned(self, node: ast.AST, name: ast.expr) -> Any:
        """What is assigned to a name inside of a node; None where it is no name, or nothing is."""
        for found in ast.walk(node):
            if isinstance(found, ast.Assign) and isinstance(name, ast.Name):
                targets = [target.id for target in found.targets if isinstance(target, ast.Name)]
                if name.id in targets:
                    return found.value
        return None

    def read_check(self, function: str) -> tuple[str, ...]:
        """The packages that a function `is_x_available` looks for."""
        for module in _AVAILABILITY:
            found = self.find(module, function)
            if not isinstance(found, ast.FunctionDef):
                continue
            named = tuple(_list_looked_for(found))
            if named:
                return named
            kept = {node.id for node in ast.walk(found) if isinstance(node, ast.Name) and node.id.startswith("_")}
            for name in sorted(kept):
                value = self.find(module, name)
                if value is not None and (named := tuple(_list_looked_for(value))):
                    return named
        return ()


def _list_imported(node: ast.AST) -> Iterator[str]:
    """The packages imported in a `try` whose ImportError is raised again in other words."""
    for tried in ast.walk(node):
        if not isinstance(tried, ast.Try):
            continue
        caught = [handler for handler in tried.handlers if any(isinstance(n, ast.Raise) for n in ast.walk(handler))]
        if any(isinstance(handler.type, ast.Name) and handler.type.id == "ImportError" for handler in caught):
            for inner in tried.body:
                if isinstance(inner, ast.ImportFrom) and inner.module and not inner.level:
                    yield inner.module.partition(".")[0]


def _names(node: ast.AST, member: str) -> bool:
    """Whether `OptimizerNames.MEMBER` stands in an expression."""
    return any(
        isinstance(n, ast.Attribute)
        and n.attr == member
        and isinstance(n.value, ast.Name)
        and n.value.id == "OptimizerNames"
        for n in ast.walk(node)
    )


def _list_looked_for(node: ast.AST) -> Iterator[str]:
    """The names handed to `find_spec` and its like, the first package of each."""
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and call.args and isinstance(call.args[0], ast.Constant):
            name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            if name in ("find_spec", "_is_package_available") and isinstance(call.args[0].value, str):
                yield call.args[0].value.partition(".")[0]
