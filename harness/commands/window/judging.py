"""Whether one release gives the code what a use needs.

The answer is "missing" only where the release's source leaves no other way; a base class from elsewhere, a computed name
or `**kwargs` make it "undecided", with the reason.
"""

from __future__ import annotations

import collections
from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec

from preflight_ocr.harness.commands.window.releases import Release
from preflight_ocr.harness.commands.window.uses import SLOTS, OwnClass, Use, is_library
from preflight_ocr.probes.reading.definitions import Call, ClassNames, may_serve, take_apart

Status = Literal["fits", "missing", "undecided"]
_PARTS = ("processor", "tokenizer", "extractor")  # how transformers calls the parts of a processor
_EVERY_CLASS = frozenset(dir(type)) | frozenset(dir(object))
_MODULE = """
T_destination add_module apply bfloat16 buffers call_super_init children compile cpu cuda double dump_patches eval
extra_repr float forward get_buffer get_extra_state get_parameter get_submodule half ipu load_state_dict modules mtia
named_buffers named_children named_modules named_parameters parameters register_backward_hook register_buffer
register_forward_hook register_forward_pre_hook register_full_backward_hook register_full_backward_pre_hook
register_load_state_dict_post_hook register_load_state_dict_pre_hook register_module register_parameter
register_state_dict_post_hook register_state_dict_pre_hook requires_grad_ set_extra_state set_submodule share_memory
state_dict to to_empty train training type xpu zero_grad
"""
OUTSIDE = frozenset(_MODULE.split()) | frozenset(dir(collections.OrderedDict)) | frozenset(dir(collections.UserDict))
"""What a class may have from a base that is not indexed: torch.nn.Module, against which a test holds it, or a mapping."""


class UseRuling(msgspec.Struct, frozen=True):
    """`symbol` is what is missing, as a reader would call it; `reason` what was seen. `named`: the source names it."""

    status: Status
    symbol: str = ""
    reason: str = ""
    named: bool = True
    newer: bool = False  # the keyword's new name is taken as well
    owner: str = ""  # "module:Class" that has the member
    outside: bool = False  # a base class is from a library that is not indexed


_FITS = UseRuling("fits")


class _Member(msgspec.Struct, frozen=True):
    """Where a member was found; `doubt`: why it may be there although it was not found."""

    owner: str = ""
    doubt: str = ""
    outside: bool = False


class Judge:
    """Asks one release. `own`: the classes of the code read; `renamed`: old keyword -> new one."""

    def __init__(self, release: Release, own: Mapping[str, OwnClass], renamed: Mapping[str, str]) -> None:
        self._release, self._own, self._renamed = release, own, renamed
        self.version = release.version
        self._signatures: dict[tuple[str, str | None], tuple[Call | None, str]] = {}

    def judge(self, use: Use) -> tuple[UseRuling, ...]:
        """One ruling, and for a call one for each argument that is not simply accepted."""
        if use.kind == "import":
            return (self._judge_name(use.target, use.name),)
        if use.kind == "attribute":
            assert use.name is not None
            return (self._judge_attribute(use.target, use.name),)
        if use.kind == "member":
            assert use.name is not None
            return (self._judge_member(use, use.name),)
        if use.kind == "slots":
            return tuple(self._judge_slots(use))
        return tuple(self._judge_call(use))

    def _judge_name(self, module: str, name: str | None) -> UseRuling:
        status, reason = self._release.resolve(module, name)
        symbol = f"{module}.{name}" if name and status != "missing module" else module
        if status == "found":
            return _FITS
        if status == "undecided":
            return UseRuling("undecided", symbol, reason)
        here = f"there is no module {module}" if status == "missing module" else f"{module} has no {name}"
        return UseRuling("missing", symbol, here)

    def _judge_attribute(self, base: str, name: str) -> UseRuling:
        if self._release.resolve(base, None)[0] == "found":
            return self._judge_name(base, name)
        if not self._split(base) or name in _EVERY_CLASS:
            return _FITS
        return _rule_member(self._find_member(base, name), base.rpartition(".")[2], name)

    def has_member(self, owner: str, name: str) -> bool:
        """Whether a class, "module:Class", has a member of its own in this release."""
        found = self._release.find_class(*owner.split(":"))
        return found is not None and name in found[1].members

    def _judge_member(self, use: Use, name: str) -> UseRuling:
        if name in _EVERY_CLASS:
            return _FITS
        if not use.exact and name in OUTSIDE:
            return _FITS  # the class may be mixed into a module
        if not use.own:
            if not self._split(use.target):
                return _FITS  # that the class itself is missing is said where it is imported
            member = self._find_member(use.target, name)
            if not member.owner and not member.doubt and not use.exact and self._has_subclass_with(use.target, name):
                return _FITS
            return _rule_member(member, use.target.rpartition(".")[2], name)
        chains = list(self._walk_own(use.target))
        if not any(isinstance(chain, str) and self._split(chain) for chain in chains):
            return _FITS  # no base of this library, or one that is missing and said to be so where it is imported
        doubt = ""
        for chain in chains:
            if isinstance(chain, OwnClass):
                if name in chain.members or name in chain.passed:
                    return _FITS
                if chain.computed:
                    doubt = f"{chain.name} has a computed base or metaclass"
            elif is_library(chain) and self._split(chain):
                member = self._find_member(chain, name)
                if member.owner:
                    return _rule_member(member, use.target, name)
                doubt = doubt or member.doubt
        return _rule_member(_Member(doubt=doubt, outside=True), use.target, name)

    def _judge_call(self, use: Use) -> Iterator[UseRuling]:
        target, method = self._find_library_callee(use)
        if not target:
            return
        own_fields = self._own_fields(use)
        call, doubt = self._find_signature(target, method)
        label = target.rpartition(".")[2] + (f".{method}" if method not in (None, "__init__") else "")
        if call is None:
            yield UseRuling("undecided", label, doubt, named=False) if doubt else _FITS
            return
        for keyword in use.keywords:
            symbol = f"{label}({keyword}=)"
            newer = call.names_keyword(self._renamed.get(keyword, ""))
            if call.names_keyword(keyword) or keyword in own_fields:
                yield UseRuling("fits", symbol, newer=newer)
            elif call.open or self._is_overridden(use, target, method):
                reason = f"{label} takes any keyword" if call.open else f"a subclass may have another {method}"
                yield UseRuling("undecided", symbol, reason, named=False, newer=newer)
            else:
                yield UseRuling("missing", symbol, f"{label} takes no {keyword}")
        if use.positional is not None and not use.own and method in (None, "__init__"):
            for name in call.required:
                if name not in call.names[: use.positional] and name not in use.keywords:
                    yield UseRuling("missing", f"{label}({name})", f"{label} requires {name}, which is not given")

    def _judge_slots(self, use: Use) -> Iterator[UseRuling]:
        """A processor is loaded part by part, as the class attribute `attributes` of its base lists them; each is then a
        parameter of the base's constructor."""
        if not self._split(use.target) or not self._find_member(use.target, SLOTS).owner:
            return
        call, _ = self._find_signature(use.target, "__init__")
        base = use.target.rpartition(".")[2]
        for part in call.names if call else ():
            if part.endswith(_PARTS) and part not in use.keywords:
                reason = f"{base} has a part {part} there, which its subclass {use.name} does not take"
                yield UseRuling("missing", f"{use.name}({part})", reason)

    def _is_overridden(self, use: Use, target: str, method: str | None) -> bool:
        """Whether the value may be of a subclass that has a method of its own under this name."""
        if use.exact or method in (None, "__init__", "from_pretrained") or use.target.startswith("super "):
            return False
        assert method is not None
        return any(method in known.members for known in self._own.values()) or self._has_subclass_with(target, method)

    def _find_library_callee(self, use: Use) -> tuple[str, str | None]:
        """The library's class or function behind a call; "" where the user's own code stands in between."""
        if not use.own:
            return use.target, use.name
        name = use.target.removeprefix("super ")
        chain = self._walk_own(name)
        if use.target != name:
            next(chain, None)
        for step in chain:
            if isinstance(step, str):
                return (step, use.name) if is_library(step) else ("", None)
            if step.computed or use.name in step.members:
                return "", None
        return "", None

    def _own_fields(self, use: Use) -> frozenset[str]:
        if not use.own:
            return frozenset()
        chain = self._walk_own(use.target.removeprefix("super "))
        return frozenset().union(*(step.fields for step in chain if isinstance(step, OwnClass)))

    def _walk_own(self, name: str) -> Iterator[OwnClass | str]:
        """A class of the code read and its bases, depth first; a dotted name for one from elsewhere."""
        waiting, seen = [name], set()
        while waiting:
            here = waiting.pop(0)
            if here in seen:
                continue
            seen.add(here)
            simple = here.rpartition(".")[2]
            if is_library(here) or simple not in self._own:
                yield here
                continue
            known = self._own[simple]
            yield known
            waiting = [*known.bases, *waiting]

    def _split(self, dotted: str) -> tuple[str, str] | None:
        """(module, class) of a class that this release has."""
        module, _, name = dotted.rpartition(".")
        if not module or self._release.resolve(module, name)[0] != "found":
            return None
        return (module, name) if self._release.find_class(module, name) else None

    def _find_member(self, dotted: str, name: str) -> _Member:
        place = self._split(dotted)
        assert place is not None
        doubt, outside = "", False
        for owner, known in self._release.walk_class(*place):
            if known is None:
                if is_library(owner) or owner.startswith("a computed"):
                    doubt = doubt or f"{dotted.rpartition('.')[2]} inherits from {owner}, which cannot be read"
                outside = True
            elif name in known.members:
                return _Member(owner=f"{owner}:{known.name}")
            elif (serves := may_serve(known.members.get("__getattr__", ""), name)) is not None:
                doubt = doubt or f"{owner} makes attributes when it is asked for them"
                if serves:
                    return _Member(owner=f"{owner}:{known.name}")
        return _Member(doubt=doubt, outside=outside)

    def _has_subclass_with(self, dotted: str, name: str) -> bool:
        """Whether a class that inherits from this one has the member: a value may be one of these."""
        place = self._split(dotted)
        found = self._release.find_class(*place) if place else None
        if found is None:
            return False
        owner, known = found
        return any(True for _ in self._release.find_subclasses_with(owner, known.name, name))

    def _find_signature(self, target: str, method: str | None) -> tuple[Call | None, str]:
        key = (target, method)
        if key not in self._signatures:
            self._signatures[key] = self._find_signature_anew(target, method)
        return self._signatures[key]

    def _find_signature_anew(self, target: str, method: str | None) -> tuple[Call | None, str]:
        """What a call accepts, or why it cannot be told ("" where another use speaks of what is missing)."""
        if method is None:
            module, _, name = target.rpartition(".")
            return (self._release.find_function(module, name), "") if module else (None, "")
        place = self._split(target)
        if place is None:
            return None, ""
        fields: list[str] = []
        for owner, known in self._release.walk_class(*place):
            if known is None:
                if fields and owner.partition(".")[0] != place[0].partition(".")[0]:
                    continue  # a dataclass has an __init__ of its own, to which a plain base from elsewhere adds nothing
                return None, f"{owner} is not in the index"
            kind = known.members.get(method)
            if kind is not None:
                call = take_apart(kind[1:-1]) if kind.startswith("(") else None
                return (msgspec.structs.replace(call, names=(*call.names, *fields)) if call else None), ""
            if method == "__init__" and ("__new__" in known.members or _is_enumeration(known)):
                return None, ""
            fields += known.fields or ()
        return (Call(tuple(fields)), "") if fields and method == "__init__" else (None, "")


def _rule_member(member: _Member, owner: str, name: str) -> UseRuling:
    symbol = f"{owner}.{name}"
    if member.owner or (member.outside and name in OUTSIDE):
        return UseRuling("fits", symbol, owner=member.owner)
    if member.doubt:
        return UseRuling("undecided", symbol, member.doubt, named=False)
    return UseRuling("missing", symbol, f"{owner} has no {name}", outside=member.outside)


def _is_enumeration(known: ClassNames) -> bool:
    return any(base.rpartition(".")[2] in ("Enum", "NamedTuple", "TypedDict", "ExplicitEnum") for base in known.bases)
