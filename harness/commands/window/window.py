"""Which releases of transformers, peft and accelerate a model's code and the user's own can work with, by reading."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from preflight_ocr.harness.commands.window.buffers import find_unsaved_buffers
from preflight_ocr.harness.commands.window.declared import find_declared, need
from preflight_ocr.harness.commands.window.judging import Judge
from preflight_ocr.harness.commands.window.releases import PACKAGES, Index, open_index
from preflight_ocr.harness.commands.window.uses import OwnClass, Use, find_own_classes, find_uses
from preflight_ocr.harness.config.compat import builds_without_memory
from preflight_ocr.harness.config.errors import UserError
from preflight_ocr.harness.facts import Site, Unknown
from preflight_ocr.probes.reading.json_files import get_object, read_object
from preflight_ocr.probes.reading.repository import (
    RemoteCode,
    find_model_directory,
    read_auto_map,
)
from preflight_ocr.probes.reading.source import Source, find_own_names, read_source
from preflight_ocr.probes.reading.subject import REPLACEMENTS, find_parts, read_part

if TYPE_CHECKING:
    from preflight_ocr.harness.config.schema import Config

LIMITS = (
    "what a name does: a release that has every name may still behave differently",
    "attributes of values whose class the source does not tell, and names made at run time",
    "torch and every library other than transformers, peft and accelerate",
)
REPLACEMENT_KEYWORDS: Mapping[str, str] = {
    "torch_dtype": "dtype",
    "use_auth_token": "token",
    "max_seq_len": "max_cache_len",
    "past_key_value": "past_key_values",
    **{old: new for old, new in REPLACEMENTS.items() if new.isidentifier()},
}
"""Only texts, as `REPLACEMENTS` of `probes/reading/subject`: whether a name is there is always decided from the index."""
_MOST_FILES = 200


class Boundary(msgspec.Struct, frozen=True, kw_only=True):
    """One symbol that some releases do not have. `fails` are these releases, oldest first; `sites` where it is needed.

    `stage` is "import" where importing the code fails, else "call": the code fails when it gets there.
    """

    symbol: str
    reason: str
    fails: tuple[str, ...]
    stage: str
    sites: tuple[Site, ...]
    replacement: str | None


class Doubt(msgspec.Struct, frozen=True, kw_only=True):
    """Something the code needs of which reading cannot tell whether these releases give it."""

    symbol: str
    reason: str
    releases: tuple[str, ...]
    sites: tuple[Site, ...]
    replacement: str | None


class Rename(msgspec.Struct, frozen=True, kw_only=True):
    """A keyword that every release still takes, and that has a new name since one of them."""

    symbol: str
    replacement: str
    since: str
    sites: tuple[Site, ...]


class PackageWindow(msgspec.Struct, frozen=True, kw_only=True):
    """The releases of one library. `fits` of `indexed` give every name and argument that the code needs.

    `ranges` is `fits` as (first, last) of each unbroken row of indexed releases. `first_failing` is the release after the
    newest that fits, the newest indexed one where none fits, and None where the newest fits.
    """

    package: str
    indexed: tuple[str, ...]
    fits: tuple[str, ...]
    ranges: tuple[tuple[str, str], ...]
    first_failing: str | None
    uses: int
    boundaries: tuple[Boundary, ...]
    doubts: tuple[Doubt, ...]
    renames: tuple[Rename, ...]

    def failures(self, release: str) -> tuple[Boundary, ...]:
        """What one indexed release lacks, what importing needs first."""
        found = [boundary for boundary in self.boundaries if release in boundary.fails]
        return tuple(sorted(found, key=lambda boundary: boundary.stage != "import"))


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """The answer. `files` were read, `unread` could not be; `limits` is what reading can never know.

    `declared` are the classes of transformers that the model's JSON files ask for.
    """

    source: str
    packages: tuple[PackageWindow, ...]
    files: tuple[str, ...]
    declared: tuple[str, ...] = ()
    unread: tuple[str, ...]
    seconds: float
    limits: tuple[str, ...] = LIMITS

    def find(self, package: str) -> PackageWindow:
        """The window of one library. Raises KeyError for one that is not indexed."""
        for window in self.packages:
            if window.package == package:
                return window
        raise KeyError(package)


def read_window(subject: Path | Config) -> Window:
    """Read a model directory, or a configuration's model and the user's own parts; nothing is imported or executed.

    Raises UserError when there is no Python code to read.
    """
    started = time.perf_counter()
    sources, unread = _read_directory(subject) if isinstance(subject, Path) else _read_config(subject)
    if not sources and unread:
        raise UserError("\n".join(unread))
    directory = subject if isinstance(subject, Path) else find_model_directory(subject)
    declared = [] if isinstance(directory, Unknown) else [u for u in find_declared(directory) if _was_ever(u)]
    own = find_own_classes(sources)
    uses = [*declared, *(use for source in sources for use in find_uses(source, own))]
    defined = find_own_names(sources)
    uses = [use for use in uses if use.kind != "loose" or use.name not in defined]
    model = [] if isinstance(directory, Unknown) else [s for s in sources if s.path.is_relative_to(directory)]
    packages = tuple(_judge(package, uses, own) for package in PACKAGES)
    return Window(
        source=str(subject if isinstance(subject, Path) else subject.source),
        packages=tuple(_add_lost_buffers(package, model) for package in packages),
        files=tuple(source.name for source in sources),
        declared=tuple(str(use.name) for use in declared),
        unread=tuple(unread),
        seconds=round(time.perf_counter() - started, 3),
    )


def _add_lost_buffers(window: PackageWindow, model: Sequence[Source]) -> PackageWindow:
    """The doubts with those about buffers: where a model is built without memory, its code may still set them itself."""
    if window.package != "transformers":
        return window
    losing = tuple(version for version in window.indexed if builds_without_memory(version))
    found: dict[str, list[Site]] = {}
    for name, site in find_unsaved_buffers(model):
        found.setdefault(name, []).append(site)
    reason = "models are built without memory there, and what neither checkpoint nor _init_weights gives is undefined"
    doubts = [
        Doubt(symbol=f"buffer {name}", reason=reason, releases=losing, sites=tuple(sites), replacement=None)
        for name, sites in found.items()
    ]
    return msgspec.structs.replace(window, doubts=(*window.doubts, *doubts))


def judge_names(names: Iterable[str], site: Site) -> PackageWindow:
    """The window of classes that transformers must export, for a model that is known by these names alone."""
    return _judge("transformers", [use for name in names if _was_ever(use := need(name, site))], {})


def _was_ever(use: Use) -> bool:
    """Whether any release exports it: a class that none has is the model's own, or a name that its authors left behind."""
    releases = open_index(use.package).releases
    return any(release.resolve(use.target, use.name)[0] == "found" for release in releases)


def group(chosen: Iterable[str], indexed: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Versions as (first, last) of each unbroken row in `indexed`."""
    ranges: list[tuple[str, str]] = []
    wanted = set(chosen)
    for before, version in zip((None, *indexed), indexed, strict=False):
        if version not in wanted:
            continue
        if ranges and ranges[-1][1] == before:
            ranges[-1] = (ranges[-1][0], version)
        else:
            ranges.append((version, version))
    return tuple(ranges)


def _read_config(config: Config) -> tuple[list[Source], list[str]]:
    directory = find_model_directory(config)
    sources, unread = ([], [directory.reason]) if isinstance(directory, Unknown) else _read_directory(directory)
    seen = {source.path for source in sources}
    for part, target in find_parts(config).items():
        found = read_part(config, target)
        if isinstance(found, Unknown):
            unread.append(f"subject.{part}: {found.reason}")
            continue
        sources += [source for source in found if source.path not in seen]
        seen |= {source.path for source in found}
    return sources, unread


def _read_directory(directory: Path) -> tuple[list[Source], list[str]]:
    """The code that loading the model runs; every file of a folder that is no model's."""
    read: Iterable[Source | Unknown]
    config = read_object(directory / "config.json")
    if isinstance(config, dict):
        read = RemoteCode(directory, read_auto_map(get_object(config, "auto_map"))).files.values()
    else:
        paths = sorted(directory.rglob("*.py"))[:_MOST_FILES]
        read = [read_source(path, path.relative_to(directory).as_posix()) for path in paths]
        if not paths:
            return [], [f"{directory}: seen neither config.json nor a Python file, expected a model's or code folder"]
    listed = list(read)
    return [s for s in listed if isinstance(s, Source)], [s.reason for s in listed if isinstance(s, Unknown)]


class _Seen(msgspec.Struct):
    """What the releases said of one symbol, for all the uses that ask the same."""

    missing: dict[str, str] = {}
    undecided: dict[str, str] = {}
    named: list[str] = []
    newer: list[str] = []  # also takes the keyword's new name
    owners: set[str] = set()  # "module:Class" that has the member
    outside: bool = False


def _judge(package: str, uses: Iterable[Use], own: Mapping[str, OwnClass]) -> PackageWindow:
    index = open_index(package)
    judges = [Judge(release, own, REPLACEMENT_KEYWORDS) for release in index.releases]
    concerned = [use for use in uses if use.package in (package, "")]
    alike: dict[Use, list[Use]] = {}
    for use in concerned:
        if use.kind != "loose":
            alike.setdefault(use.question(), []).append(use)
    boundaries: dict[tuple[str, tuple[str, ...]], Boundary] = {}
    doubts: dict[tuple[str, tuple[str, ...]], Doubt] = {}
    renames: dict[str, Rename] = {}
    for question, group_of_uses in alike.items():
        sites = tuple(use.site for use in group_of_uses)
        stage = "import" if any(use.function is None for use in group_of_uses) else "call"
        for symbol, seen in _ask(question, judges).items():
            replacement = _replace(symbol)
            if _is_boundary(question, seen, index.versions):
                fails = tuple(seen.missing)
                found = Boundary(
                    symbol=symbol,
                    reason=seen.missing[fails[0]],
                    fails=fails,
                    stage=stage,
                    sites=sites,
                    replacement=replacement,
                )
                boundaries[symbol, fails] = _join(boundaries.get((symbol, fails)), found)
            elif (seen.missing and not seen.outside) or _is_doubt(question, seen):
                releases = tuple(seen.missing or seen.undecided)
                reason = next(iter((seen.missing or seen.undecided).values()))
                if seen.missing:
                    reason += "; no indexed release has it, so it may come from elsewhere"
                doubt = Doubt(symbol=symbol, reason=reason, releases=releases, sites=sites, replacement=replacement)
                doubts.setdefault((symbol, releases), doubt)
            if seen.newer and replacement and not seen.missing and not set(seen.newer) & set(seen.undecided):
                rename = Rename(symbol=symbol, replacement=replacement, since=seen.newer[0], sites=sites)
                renames.setdefault(symbol, rename)
    for doubt in _find_lost(index, concerned):
        doubts.setdefault((doubt.symbol, doubt.releases), doubt)
    failing = {version for boundary in boundaries.values() for version in boundary.fails}
    fits = tuple(version for version in index.versions if version not in failing)
    after = index.versions[index.versions.index(fits[-1]) + 1 :] if fits else index.versions[-1:]
    return PackageWindow(
        package=package,
        indexed=index.versions,
        fits=fits,
        ranges=group(fits, index.versions),
        first_failing=after[0] if after else None,
        uses=sum(use.package == package for use in concerned),
        boundaries=tuple(
            sorted(boundaries.values(), key=lambda b: (index.versions.index(b.fails[0]), b.stage, b.symbol))
        ),
        doubts=tuple(doubts.values()),
        renames=tuple(renames.values()),
    )


def _find_lost(index: Index, uses: Iterable[Use]) -> Iterator[Doubt]:
    """Methods called on values of an unknown class that some class near the top of the library does not have any more."""
    loose: dict[str, list[Site]] = {}
    for use in uses:
        if use.kind == "loose" and use.name:
            loose.setdefault(use.name, []).append(use.site)
    for name, (owner, releases) in index.find_lost(loose).items():
        reason = f"{owner} has no {name} there, and the source does not tell the class of this value"
        yield Doubt(symbol=name, reason=reason, releases=releases, sites=tuple(loose[name]), replacement=_replace(name))


def _ask(question: Use, judges: Sequence[Judge]) -> dict[str, _Seen]:
    """Symbol -> what each release said of it."""
    told: dict[str, _Seen] = {}
    for judge in judges:
        for ruling in judge.judge(question):
            if not ruling.symbol:
                continue
            seen = told.setdefault(ruling.symbol, _Seen({}, {}, [], [], set()))
            if ruling.status == "missing":
                seen.missing[judge.version] = ruling.reason
            elif ruling.status == "undecided":
                seen.undecided[judge.version] = ruling.reason
            if ruling.named:
                seen.named.append(judge.version)
            if ruling.newer:
                seen.newer.append(judge.version)
            if ruling.owner:
                seen.owners.add(ruling.owner)
            seen.outside |= ruling.outside
    if question.kind == "member" and not question.exact:
        for seen in told.values():
            _allow_for_bases(seen, question.name or "", judges)
    return told


def _allow_for_bases(seen: _Seen, name: str, judges: Iterable[Judge]) -> None:
    """Where a member left with a base class that still has it, the value's class may inherit from that one after all.

    So with `generate`: the library may add GenerationMixin to a remote model's class when it loads it.
    """
    for judge in judges:
        if judge.version in seen.missing and (owner := next((o for o in seen.owners if judge.has_member(o, name)), "")):
            del seen.missing[judge.version]
            base = owner.partition(":")[2]
            seen.undecided[judge.version] = (
                f"it is now in {base} only, from which the class may get it when it is loaded"
            )


def _is_boundary(question: Use, seen: _Seen, versions: Sequence[str]) -> bool:
    """A missing import is one in any case; what no release ever had may come from a place that reading cannot see."""
    return bool(seen.missing) and (question.kind == "import" or len(seen.missing) + len(seen.undecided) < len(versions))


def _is_doubt(question: Use, seen: _Seen) -> bool:
    """Worth saying only where some release decides it: a keyword that no signature ever named is nobody's rename."""
    if question.kind == "call":
        return bool(seen.undecided) and bool(seen.named)
    return bool(seen.undecided) and (question.kind == "import" or bool(seen.named))


def _join(known: Boundary | None, found: Boundary) -> Boundary:
    if known is None:
        return found
    stage = "import" if "import" in (known.stage, found.stage) else "call"
    return msgspec.structs.replace(known, sites=tuple(dict.fromkeys((*known.sites, *found.sites))), stage=stage)


def _replace(symbol: str) -> str | None:
    word = symbol.rstrip(")=").rpartition("(")[2].rpartition(".")[2]
    return REPLACEMENT_KEYWORDS.get(word) or REPLACEMENTS.get(word)
