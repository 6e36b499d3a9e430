"""What every fact is made of: a tagged struct, what could not be found out, a place in source, an exception."""

from __future__ import annotations

from typing import Literal, dataclass_transform

import msgspec


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Fact(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="fact", forbid_unknown_fields=True):
    """A tagged struct, so that a section and `Unknown` can share a union and survive JSON."""


class Unknown(Fact, kw_only=True):
    """What could not be found out, and why. The reason is shown to the user word for word.

    `failed` says that a probe of ours broke over it, which is our fault and must not look like a mere skip. `died` says that
    a child was started for it and ended without an answer.
    """

    reason: str
    failed: bool = False
    died: bool = False


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
