"""What every fact is made of: a tagged struct, what could not be found out, a place in source, an exception."""

from __future__ import annotations

from typing import Literal, dataclass_transform

import msgspec

from preflight_ocr.harness.foreign.text import LONGEST, clean, clean_value


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Fact(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="fact", forbid_unknown_fields=True):
    """A tagged struct, so that a section and `Unknown` can share a union and survive JSON.

    This is the border where foreign text becomes a fact: whatever a field is given, made here or sent by a child, no fact
    holds text that a terminal would act on. Newlines stay; a writer shows them as its own.
    """

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if type(value) is str:
                cleaned: object = value if value.isprintable() and len(value) <= LONGEST else clean(value)
            elif type(value) in (tuple, list, dict):
                cleaned = clean_value(value)
            else:
                continue
            if cleaned is not value:
                msgspec.structs.force_setattr(self, name, cleaned)


class Unknown(Fact):
    """What could not be found out, and why. The reason is shown to the user word for word.

    `failed` says that a probe of ours broke over it, which is our fault and must not look like a mere skip.
    """

    reason: str
    failed: bool = False


class Site(Fact):
    """A place in somebody's source: `file` relative to its root, 1-based `line`, the stripped `code`, and what it is.

    `runs` says whether importing, loading or calling the model gets there; None where nobody asked.
    """

    file: str
    line: int
    code: str
    kind: str = ""
    runs: bool | None = None


class Raised(Fact):
    """An exception that foreign code raised. `site` is the last frame that belongs to foreign code."""

    type: str
    message: str
    site: Site | None = None


class Parameter(Fact):
    """One parameter of a callable; `kind` as in `inspect.Parameter`, in lower case."""

    name: str
    kind: Literal["positional_only", "positional_or_keyword", "var_positional", "keyword_only", "var_keyword"]
    has_default: bool = True


class Signature(Fact):
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
