"""What one recogniser is, and how a message is weighed against it.

A recogniser is declared, not written: patterns for one message as different releases word it, with every number, path and
device left free, and the causes it may have. Only what the message alone proves, or the message with its traceback, is
certain; everything else is possible, the likeliest first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache

import msgspec

Groups = Mapping[str, str]
"""What a pattern's named groups caught; empty for a group that caught nothing."""


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """One diagnosis that a message may point at.

    `why` is the cause in one sentence, `check` what to look at. `holds` asks the numbers in the message whether the cause
    can be meant at all, and `needs` is a pattern that the traceback must match for that. `proof` is a pattern of the
    traceback that makes the cause certain, `hint` one that puts it first. Where the message itself is enough, there is no
    proof; `sure=False` says that nothing short of the contract is. `prove` replaces the usual command. `outside` marks a
    cause that no check can see (another process, several cards): its name is in no catalogue and it needs a `prove`.
    """

    diagnosis: str
    why: str
    check: str
    holds: Callable[[Groups], bool] | None = None
    needs: str = ""
    proof: str = ""
    hint: str = ""
    sure: bool = True
    prove: str = ""
    outside: bool = False


class Recogniser(msgspec.Struct, frozen=True, kw_only=True):
    """One message in all its wordings.

    `within` is a pattern that the traceback must match where there is one: a message that anything may raise counts only
    when it was raised by a model, a collator, a data loader. `bare=False` says that without a traceback it means nothing.
    `kinds` are the exception types, where a text without its type would be too common.
    """

    patterns: tuple[str, ...]
    causes: tuple[Cause, ...]
    kinds: tuple[str, ...] = ()
    within: str = ""
    bare: bool = True


class Weighed(msgspec.Struct, frozen=True):
    """A cause that is left, and whether it is certain."""

    cause: Cause
    certain: bool


def recognise(recogniser: Recogniser, text: str, *, kind: str = "", stack: str = "") -> tuple[Weighed, ...]:
    """The causes this message may have, the likeliest first; none where it is another message.

    `kind` is the exception's type and `stack` its traceback, both empty where the text has none.
    """
    if recogniser.kinds and kind.rpartition(".")[2] not in recogniser.kinds:
        return ()
    found = next((m for p in recogniser.patterns if (m := compile_pattern(p).search(text))), None)
    if found is None or (not stack and not recogniser.bare):
        return ()
    if stack and recogniser.within and not _matches(recogniser.within, stack):
        return ()
    groups = {name: value or "" for name, value in found.groupdict().items()}
    causes = [c for c in recogniser.causes if _is_possible(c, groups, stack)]
    proven = [c for c in causes if c.proof and _matches(c.proof, stack)]
    if proven:
        return tuple(Weighed(c, len(proven) == 1) for c in proven)
    causes.sort(key=lambda c: not (c.hint and _matches(c.hint, stack)))
    alone = len(causes) == 1
    return tuple(Weighed(c, alone and c.sure and not c.proof) for c in causes)


@cache
def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Patterns are many and most runs meet few lines, so each is compiled when it is first needed."""
    return re.compile(pattern, re.MULTILINE)


def _is_possible(cause: Cause, groups: Groups, stack: str) -> bool:
    if cause.needs and not _matches(cause.needs, stack):
        return False
    return cause.holds is None or cause.holds(groups)


def _matches(pattern: str, stack: str) -> bool:
    return bool(stack) and compile_pattern(pattern).search(stack) is not None
