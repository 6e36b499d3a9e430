"""What every fact is made of: a tagged struct, what could not be found out, a place in source, an exception."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import ClassVar, Literal, ParamSpec, TypeVar, dataclass_transform, get_args

import msgspec

from preflight_ocr.harness.foreign.text import LONGEST, clean, clean_value


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Fact(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="fact", forbid_unknown_fields=True):
    """A tagged struct, so that a section and `Unknown` can share a union and survive JSON.

    This is the border where foreign text becomes a fact: whatever a field is given, made here or sent by a child, no fact
    holds text that a terminal would act on. Newlines stay; a writer shows them as its own. `of_tokens` names the
    fields that hold one letter for each token of a row: they are never cut.
    """

    of_tokens: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if type(value) is str:
                limit = len(value) if name in self.of_tokens else LONGEST
                cleaned: object = value if value.isprintable() and len(value) <= limit else clean(value, limit=limit)
            elif type(value) in (tuple, list, dict):
                cleaned = clean_value(value)
            else:
                continue
            if cleaned is not value:
                msgspec.structs.force_setattr(self, name, cleaned)


P = ParamSpec("P")
F = TypeVar("F", bound=Fact)
Cause = Literal[
    "not looked at", "awaits another process", "foreign code died", "no answer", "unreadable file", "our own failure"
]


class Unknown(Fact, kw_only=True):
    """What could not be found out, and why. The reason is shown to the user word for word, and never parsed.

    `cause` is for the program. "awaits another process": a later child is to fill it. "foreign code died": the process
    that looked was ended. "no answer": it raised, or ran out of memory, before it could say anything. "unreadable file": a
    file cannot be parsed or decoded, and the reason begins with its place. "our own failure": a probe of ours broke over
    it, which must not look like a mere skip.
    """

    reason: str
    cause: Cause = "not looked at"

    @property
    def failed(self) -> bool:
        """Whether a probe of ours broke over it."""
        return self.cause == "our own failure"

    @property
    def died(self) -> bool:
        """Whether something was started to find it out and ended without an answer."""
        return self.cause in ("foreign code died", "no answer", "our own failure")


def blank(kind: Callable[P, F], reason: Unknown, *none: P.args, **known: P.kwargs) -> F:
    """A `kind` of which only `known` could be found out: every other field that may be Unknown is `reason`.

    The keywords are the struct's own, and typed as its constructor's are. Raises TypeError for any other.
    """
    fact = kind(*none, **known)
    return msgspec.structs.replace(fact, **dict.fromkeys(_list_open_fields(type(fact)) - known.keys(), reason))


@cache
def _list_open_fields(kind: type[Fact]) -> frozenset[str]:
    """The names of the fields that may be Unknown."""
    return frozenset(field.name for field in msgspec.structs.fields(kind) if Unknown in get_args(field.type))


NOT_LOOKED_AT = Unknown(reason="no probe looked at it")


class Site(Fact, kw_only=True):
    """A place in somebody's source: `file` relative to its root, 1-based `line`, the stripped `code`, and what it is.

    `runs` says whether importing, loading or calling the model gets there; None where nobody asked.
    """

    file: str
    line: int
    code: str
    kind: str
    runs: bool | None


class Raised(Fact, kw_only=True):
    """An exception that foreign code raised. `site` is the last frame that belongs to foreign code."""

    type: str
    message: str
    site: Site | None


class Parameter(Fact, kw_only=True):
    """One parameter of a callable; `kind` as in `inspect.Parameter`, in lower case."""

    name: str
    kind: Literal["positional_only", "positional_or_keyword", "var_positional", "keyword_only", "var_keyword"]
    has_default: bool


class Signature(Fact, kw_only=True):
    """A callable's parameters, `self` left out."""

    owner: str
    parameters: tuple[Parameter, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The named parameters, without `*args` and `**kwargs`."""
        return tuple(p.name for p in self.parameters if not p.kind.startswith("var_"))

    @property
    def accepts_any_keyword(self) -> bool:
        """Whether a `**kwargs` swallows whatever it is given."""
        return any(p.kind == "var_keyword" for p in self.parameters)

    def accepts(self, keyword: str) -> bool:
        """Whether calling with `keyword=` raises no TypeError."""
        return self.accepts_any_keyword or keyword in self.names
