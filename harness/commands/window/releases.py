"""What each release of a library exports, from the index in this package: nothing is installed or imported.

The index is one file for each library: lzma over msgpack, every module encoded on its own, so that only the modules that
are asked about are ever decoded. Values that change from release to release are timelines: [(bits of releases, value)].
"""

from __future__ import annotations

import functools
import importlib.machinery
import lzma
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from preflight_ocr.harness.facts import Unknown
from preflight_ocr.probes.reading.definitions import ClassNames, ModuleNames, list_fields
from preflight_ocr.probes.reading.exports import Answer, Exports

INDEX = Path(__file__).parent / "index"
PACKAGES = ("transformers", "peft", "accelerate")

Timeline = str | list[tuple[int, str]]


class IndexedClass(msgspec.Struct, frozen=True, array_like=True):
    """`bases`: dotted names with commas, after "?" for a computed base and "@" for a dataclass."""

    bases: Timeline
    members: dict[str, Timeline]


class IndexedModule(msgspec.Struct, frozen=True, array_like=True):
    """`flags`: "l" lazy, "d" makes names at import, "*a.b,c" takes everything from other libraries' modules."""

    releases: int
    flags: Timeline
    names: dict[str, Timeline]
    functions: dict[str, Timeline]
    classes: dict[str, IndexedClass]


class Indexed(msgspec.Struct, frozen=True, array_like=True):
    """The file: versions in their order, and each module still encoded."""

    versions: tuple[str, ...]
    modules: dict[str, msgspec.Raw]


class Index:
    """The releases of one library, decoded as they are asked for."""

    def __init__(self, package: str, indexed: Indexed) -> None:
        self.package = package
        self.versions = indexed.versions
        self.releases = tuple(Release(self, place) for place in range(len(indexed.versions)))
        self._encoded = indexed.modules
        self._decoded: dict[str, IndexedModule] = {}

    def find_module(self, module: str) -> IndexedModule | None:
        """One module over all releases; None for one that none of them has."""
        if module not in self._decoded:
            raw = self._encoded.get(module)
            if raw is None:
                return None
            self._decoded[module] = msgspec.msgpack.decode(raw, type=IndexedModule)
        return self._decoded[module]

    def find_owners(self, member: str) -> tuple[tuple[str, str], ...]:
        """(module, class) of the classes near the top of the library that have such a member in some release."""
        return self._owners.get(member, ())

    def find_lost(self, names: Iterable[str]) -> dict[str, tuple[str, tuple[str, ...]]]:
        """Of method names, those that a class near the top had and lost: name -> (class, releases after that).

        Only releases count in which the class is there and no other class near the top has such a method.
        """
        lost = {}
        for name in sorted(names):
            having, best = 0, ("", 0, 0)
            for module, owner in self.find_owners(name):
                known = self.find_module(module)
                assert known is not None
                entry = known.classes[owner]
                has = _cover(entry.members[name], known.releases)
                having |= has
                gone = _cover(entry.bases, known.releases) & ~has & ~((has & -has) - 1)
                if gone:
                    best = max(best, (owner, has.bit_count(), gone), key=lambda found: found[1])
            if releases := self._list(best[2] & ~having):
                lost[name] = (best[0], releases)
        return lost

    @functools.cached_property
    def _owners(self) -> dict[str, tuple[tuple[str, str], ...]]:
        owners: dict[str, list[tuple[str, str]]] = {}
        for module in self._encoded:
            if module.count(".") < 2 and (known := self.find_module(module)) is not None:
                for name, entry in known.classes.items():
                    for member in entry.members:
                        owners.setdefault(member, []).append((module, name))
        return {member: tuple(places) for member, places in owners.items()}

    def _list(self, mask: int) -> tuple[str, ...]:
        return tuple(version for place, version in enumerate(self.versions) if mask >> place & 1)


def pick(timeline: Timeline | None, bit: int) -> str | None:
    """The value in the release of this bit; None where there is none. A timeline that is one text never changes."""
    if timeline is None or isinstance(timeline, str):
        return timeline
    return next((value for mask, value in timeline if mask & bit), None)


def pick_all(timelines: Mapping[str, Timeline], bit: int) -> dict[str, str]:
    """Those that have a value in the release of this bit."""
    return {name: value for name, line in timelines.items() if (value := pick(line, bit)) is not None}


def _cover(timeline: Timeline, whole: int) -> int:
    """The releases in which a timeline has a value."""
    return whole if isinstance(timeline, str) else sum(mask for mask, _ in timeline)


class Release(Exports):
    """One release, asked as `probes/reading/exports` asks what is installed."""

    def __init__(self, index: Index, place: int) -> None:
        super().__init__(search_path=[])
        self._index, self._bit = index, 1 << place
        self.version = index.versions[place]

    def find_subclasses_with(self, module: str, name: str, member: str) -> Iterator[str]:
        """The classes near the top of the library that inherit from this one and have the member themselves."""
        for place in self._index.find_owners(member):
            found = self.find_class(*place)
            if found is not None and member in found[1].members:
                chain = [(owner, known.name) for owner, known in self.walk_class(*place) if known is not None]
                if (module, name) in chain[1:]:
                    yield place[1]

    def _find(self, module: str) -> IndexedModule | None:
        known = self._index.find_module(module)
        return known if known is not None and known.releases & self._bit else None

    def _locate_anew(self, module: str) -> importlib.machinery.ModuleSpec | None:
        found = module.partition(".")[0] == self._index.package and self._find(module) is not None
        return importlib.machinery.ModuleSpec(module, None) if found else None

    def _read_anew(self, module: str) -> ModuleNames | Unknown:
        known = self._find(module)
        if known is None:
            return Unknown(reason=f"{module} is not in the index")
        flags, _, stars = (pick(known.flags, self._bit) or "").partition("*")
        return ModuleNames(
            names=pick_all(known.names, self._bit),
            stars=tuple(stars.split(",")) if stars else (),
            classes={
                name: _make_class(name, bases, pick_all(entry.members, self._bit))
                for name, entry in known.classes.items()
                if (bases := pick(entry.bases, self._bit)) is not None
            },
            functions=pick_all(known.functions, self._bit),
            dynamic=f"{module} makes names when it is imported" if "d" in flags else "",
            lazy="l" in flags,
        )

    def _doubt_module(self, parent: str, step: str) -> Answer:
        if step.startswith("convert_"):
            return "undecided", "scripts that convert checkpoints are not in the index"
        return super()._doubt_module(parent, step)


def _make_class(name: str, text: str, members: dict[str, str]) -> ClassNames:
    bases = text.lstrip("?@")
    fields = list_fields(members) if "@" in text else None
    return ClassNames(name, tuple(bases.split(",")) if bases else (), members, fields, not text.startswith("?"))


@functools.cache
def open_index(package: str) -> Index:
    """The index of one library. Raises OSError when the file is not there."""
    return Index(package, read_index(INDEX / f"{package}.msgpack.xz"))


def read_index(path: Path) -> Indexed:
    """What an index file holds, its modules still encoded. Raises OSError when it is not there."""
    return msgspec.msgpack.decode(lzma.decompress(path.read_bytes()), type=Indexed)


def sort_key(version: str) -> tuple[int, ...]:
    """ "4.46.3" -> (4, 46, 3), for sorting."""
    return tuple(int(part) for part in version.split(".") if part.isdigit())
