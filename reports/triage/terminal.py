"""The answer on a terminal: what is certain, what is possible, what is not known. Our own words are ASCII."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from preflight_ocr.harness.commands.triage.answer import Pointer, Recognised, TriageAnswer, Unrecognised

_MOST_TEXT = 300  # characters of a quoted message


def render(answer: TriageAnswer, *, width: int = 100) -> str:
    """The whole answer as plain text, without a newline at its end."""
    blocks = [_headline(answer)]
    blocks += ["\n".join(_show_recognised(recognised, width)) for recognised in answer.recognised]
    blocks += ["\n".join(_show_unrecognised(unrecognised, width)) for unrecognised in answer.unrecognised]
    blocks += ["\n".join(_wrap(note, width, "NOTE: ", "  ")) for note in answer.notes]
    return "\n\n".join(blocks)


def _headline(answer: TriageAnswer) -> str:
    certain = sum(any(p.certain for p in r.pointers) for r in answer.recognised)
    counts = (
        (certain, "recognised"),
        (len(answer.recognised) - certain, "recognised, with several possible causes"),
        (len(answer.unrecognised), "not recognised"),
    )
    said = ", ".join(f"{count} {what}" for count, what in counts if count)
    if not said:
        said = f"nothing to report: {answer.losses} {'loss' if answer.losses == 1 else 'losses'} read, none suspicious"
    return f"{said[0].upper()}{said[1:]}\n{answer.source}"


def _show_recognised(recognised: Recognised, width: int) -> Iterator[str]:
    yield from _quote(recognised.text, recognised.line, recognised.times, width)
    yield from _wrap(recognised.place, width, "  at ", "     ")
    certain = [pointer for pointer in recognised.pointers if pointer.certain]
    possible = [pointer for pointer in recognised.pointers if not pointer.certain]
    for pointer in certain:
        yield from _show_pointer(pointer, pointer.title, "  ", width)
    if possible:
        yield "  possible, the likeliest first:" if not certain else "  possibly behind it:"
    for number, pointer in enumerate(possible, 1):
        yield from _show_pointer(pointer, f"{number}. {pointer.title}", "    ", width)


def _show_pointer(pointer: Pointer, title: str, indent: str, width: int) -> Iterator[str]:
    verdict = {
        "not asked": "",
        "confirmed": ": CONFIRMED",
        "contract holds": ": not confirmed: the contract holds",
        "could not be run": ": could not be run",
    }[pointer.verdict]
    yield f"{indent}{title}{verdict}"
    if pointer.detail:
        yield from _wrap(pointer.detail, width, f"{indent}  Seen:  ", f"{indent}         ")
    yield from _wrap(pointer.cause, width, f"{indent}  Cause: ", f"{indent}         ")
    yield from _wrap(pointer.check, width, f"{indent}  Check: ", f"{indent}         ")
    yield f"{indent}  Prove: {pointer.prove}"
    if pointer.code:
        yield f"{indent}  More:  preflight explain {pointer.code}"


def _show_unrecognised(unrecognised: Unrecognised, width: int) -> Iterator[str]:
    yield from _quote(unrecognised.text, unrecognised.line, unrecognised.times, width)
    yield from _wrap(unrecognised.place, width, "  at ", "     ")
    yield from _wrap(f"not recognised: {unrecognised.reason}.", width, "  ", "  ")
    if unrecognised.raised_by:
        about = f", about `{unrecognised.argument}`" if unrecognised.argument else ""
        yield from _wrap(f"Raised by {unrecognised.raised_by}{about}.", width, "  ", "  ")
    if unrecognised.contracts:
        codes = ",".join(unrecognised.contracts)
        yield from _wrap(f"What looks at that part of a run: preflight check CONFIG --only {codes}", width, "  ", "  ")
    else:
        yield from _wrap("`preflight check CONFIG` looks at the whole set-up without a message.", width, "  ", "  ")


def _quote(text: str, line: int, times: int, width: int) -> Iterator[str]:
    place = f"line {line}" if times == 1 else f"line {line} and {times - 1} more"
    first = text.strip().splitlines()[0] if text.strip() else text
    yield from _wrap(first[:_MOST_TEXT], width, f"{place}: ", "  ")


def _wrap(text: str, width: int, first: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text,
        width,
        initial_indent=first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
