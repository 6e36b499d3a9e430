"""The window on a terminal: a table, then each boundary with its place, then what reading cannot know."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from preflight_ocr.harness.commands.window.window import PackageWindow, Window, group
from preflight_ocr.harness.facts import Site

_SHOWN = 3  # places of one symbol


def render(window: Window, *, width: int = 100) -> str:
    """The whole answer as plain text. Our own words are ASCII; what is quoted may hold anything."""
    lines = [*_write_table(window), ""]
    for package in window.packages:
        lines += _write_boundaries(package, width)
    lines += _write_doubts(window, width)
    if not window.files:
        named = f"; its files name {' and '.join(window.declared)}" if window.declared else ""
        lines += _wrap(
            f"The model brings no code of its own: what transformers ships for it decides{named}.", width, ""
        )
        return "\n".join(lines)
    files = "1 file" if len(window.files) == 1 else f"{len(window.files)} files"
    lines += [f"{files} read in {window.seconds:.1f} s; nothing was imported or executed."]
    return "\n".join(lines)


def describe(versions: Iterable[str], indexed: Sequence[str]) -> str:
    """Versions as ranges: "4.40.2 to 4.47.1, 4.49.0"."""
    rows = group(versions, indexed)
    return ", ".join(first if first == last else f"{first} to {last}" for first, last in rows) or "none"


def _write_table(window: Window) -> Iterator[str]:
    rows = [("package", "releases that fit", "first that fails, and why")]
    for package in window.packages:
        fits = describe(package.fits, package.indexed) if package.uses else "not used"
        rows.append((package.package, fits, _explain_end(package) if package.uses else ""))
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    for row in rows:
        yield f"{row[0].ljust(widths[0])}  {row[1].ljust(widths[1])}  {row[2]}".rstrip()


def _explain_end(package: PackageWindow) -> str:
    release = package.first_failing
    if release is None:
        return f"none up to {package.indexed[-1]}"
    failures = package.failures(release)
    more = f", and {len(failures) - 1} more" if len(failures) > 1 else ""
    return f"{release}: {failures[0].reason}{more}"


def _write_boundaries(package: PackageWindow, width: int) -> Iterator[str]:
    if package.boundaries:
        yield f"{package.package}: what is missing where"
    for boundary in package.boundaries:
        where = "at import" if boundary.stage == "import" else "when it runs"
        releases = describe(boundary.fails, package.indexed)
        yield from _wrap(f"{boundary.reason} ({releases}; fails {where})", width, "  ")
        yield from _wrap(_place(boundary.sites), width, "      at   ")
        if boundary.replacement:
            yield from _wrap(boundary.replacement, width, "      use  ")
    for rename in package.renames:
        text = f"{rename.symbol} still works; since {rename.since} its name is {rename.replacement}"
        yield from _wrap(text, width, "  ")
        yield from _wrap(_place(rename.sites), width, "      at   ")
    if package.boundaries or package.renames:
        yield ""


def _write_doubts(window: Window, width: int) -> Iterator[str]:
    yield "What reading cannot know"
    for package in window.packages:
        for doubt in package.doubts:
            releases = describe(doubt.releases, package.indexed)
            text = f"{doubt.symbol} in {package.package} {releases}: {doubt.reason} ({_place(doubt.sites)})"
            yield from _wrap(text, width, "  - ")
    for text in (*window.unread, *window.limits):
        yield from _wrap(text, width, "  - ")
    yield ""


def _place(sites: Sequence[Site]) -> str:
    shown = ", ".join(f"{site.file}:{site.line}" for site in sites[:_SHOWN])
    return shown + (f" and {len(sites) - _SHOWN} more" if len(sites) > _SHOWN else "")


def _wrap(text: str, width: int, lead: str) -> list[str]:
    return textwrap.wrap(
        text,
        width,
        initial_indent=lead,
        subsequent_indent=" " * len(lead),
        break_long_words=False,
        break_on_hyphens=False,
    )
