"""What each release of a library exports, from the index in this package: nothing is installed or imported.

The index is one file for each library: lzma over msgpack, every module encoded on its own, so that only the modules that
are asked about are ever decoded. Values that change from release to release are timelines: [(bits of releases, value)].
"""

from __future__ import annotations

import functools
import importlib.machinery
import lzma
from collections.abc import Iterator
from pathlib import Path

import msgspec

from harness.facts import Unknown
from harness.window.reading import FIELD, Call, read_signature
from probes.exports import _EMPTY_BASES, Answer, ClassNames, Exports, ModuleNames

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


class ClassMembers(ClassNames, frozen=True, array_like=True, kw_only=True):
    """A class with the kind of each member: see `harness.window.reading`."""

    name: str
    kinds: dict[str, str]


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

    def find_lost(self, names: frozenset[str]) -> dict[str, tuple[str, tuple[str, ...]]]:
        """Of method names, those that a class near the top once had: name -> (class, releases without it).

        Only releases count in which the class is there and no other class near the top has such a method.
        """
        having: dict[str, int] = {}
        losing: dict[str, tuple[str, int]] = {}
        for module in self._encoded:
            if module.count(".") > 2 or f"{self.package}.models" in module:
                continue
            known = self.find_module(module)
            assert known is not None
            for name, entry in known.classes.items():
                for member in names & entry.members.keys():
                    there, has = _cover(entry.bases, known.releases), _cover(entry.members[member], known.releases)
                    having[member] = having.get(member, 0) | has & there
                    if there & ~has and there & ~has > losing.get(member, ("", 0))[1]:
                        losing[member] = (name, there & ~has)
        gone = {name: (owner, mask & ~having[name]) for name, (owner, mask) in losing.items()}
        return {name: (owner, self._list(mask)) for name, (owner, mask) in sorted(gone.items()) if mask}

    def _list(self, mask: int) -> tuple[str, ...]:
        return tuple(version for place, version in enumerate(self.versions) if mask >> place & 1)


def _cover(timeline: Timeline, whole: int) -> int:
    """The releases in which a timeline has a value."""
    return whole if isinstance(timeline, str) else sum(mask for mask, _ in timeline)


class Release(Exports):
    """One release, asked as `probes.exports` asks what is installed."""

    def __init__(self, index: Index, place: int) -> None:
        super().__init__(search_path=[])
        self._index, self._bit = index, 1 << place
        self.version = index.versions[place]

    def find_function(self, module: str, name: str) -> Call | None:
        """The signature of a function; None for anything else, and where it cannot be told."""
        for _ in range(12):
            known = self._find(module)
            if known is None:
                return None
            signature = self._pick(known.functions.get(name))
            if signature is not None:
                return read_signature(signature)
            target = self._pick(known.names.get(name))
            if not target or target == "?" or ":" not in target:
                return None
            module, _, name = target.partition(":")
        return None

    def walk_class(self, module: str, name: str) -> Iterator[tuple[str, ClassMembers | None]]:
        """A class and its bases, depth first, each with its module; (base, None) for one that cannot be read."""
        waiting, seen = [(module, name)], set()
        while waiting:
            here = waiting.pop(0)
            if here in seen:
                continue
            seen.add(here)
            found = self.find_class(*here)
            if found is None:
                yield here[1] if "." in here[1] else f"{here[0]}.{here[1]}", None  # with a dot: from another library
                continue
            owner, known = found
            assert isinstance(known, ClassMembers)
            yield owner, known
            if not known.fixed:
                yield f"a computed base of {name}", None
            bases = [self._resolve_base(owner, base) for base in known.bases]
            waiting = [base for base in bases if base[1] not in _EMPTY_BASES] + waiting

    def list_classes(self, module: str) -> tuple[str, ...]:
        """The classes that a module itself defines."""
        names = self._read(module)
        return tuple(names.classes) if isinstance(names, ModuleNames) else ()

    def _find(self, module: str) -> IndexedModule | None:
        known = self._index.find_module(module)
        return known if known is not None and known.releases & self._bit else None

    def _pick(self, timeline: Timeline | None) -> str | None:
        if timeline is None or isinstance(timeline, str):
            return timeline
        return next((value for mask, value in timeline if mask & self._bit), None)

    def _locate_anew(self, module: str) -> importlib.machinery.ModuleSpec | None:
        found = module.partition(".")[0] == self._index.package and self._find(module) is not None
        return importlib.machinery.ModuleSpec(module, None) if found else None

    def _read_anew(self, module: str) -> ModuleNames | Unknown:
        known = self._find(module)
        if known is None:
            return Unknown(reason=f"{module} is not in the index")
        names = {name: value for name, line in known.names.items() if (value := self._pick(line)) is not None}
        classes: dict[str, ClassNames] = {
            name: read for name, entry in known.classes.items() if (read := self._read_class(name, entry)) is not None
        }
        flags, _, stars = (self._pick(known.flags) or "").partition("*")
        dynamic = f"{module} makes names when it is imported" if "d" in flags else ""
        return ModuleNames(
            (0, 0), names, tuple(stars.split(",")) if stars else (), None, classes, dynamic, "l" in flags, False
        )

    def _read_class(self, name: str, entry: IndexedClass) -> ClassMembers | None:
        text = self._pick(entry.bases)
        if text is None:
            return None
        kinds = {member: kind for member, line in entry.members.items() if (kind := self._pick(line)) is not None}
        bases = text.lstrip("?@")
        fields = tuple(member for member, kind in kinds.items() if kind == FIELD) if "@" in text else None
        return ClassMembers(
            name=name,
            bases=tuple(bases.split(",")) if bases else (),
            members=tuple(kinds),
            init=None,
            fields=fields,
            fixed=not text.startswith("?"),
            kinds=kinds,
        )

    def _doubt_module(self, parent: str, step: str) -> Answer:
        names = self._read(parent)
        if isinstance(names, Unknown):
            return "undecided", names.reason
        if step.startswith("convert_"):
            return "undecided", "scripts that convert checkpoints are not in the index"
        package = self._read(parent.partition(".")[0])
        aliases = isinstance(package, ModuleNames) and package.lazy and step.endswith("_fast")
        if step in names.names or aliases or (names.dynamic and not names.lazy):
            return "undecided", f"{parent} may create {step} when it is imported"
        return "missing module", ""


@functools.cache
def open_index(package: str) -> Index:
    """The index of one library. Raises OSError when the file is not there."""
    data = lzma.decompress((INDEX / f"{package}.msgpack.xz").read_bytes())
    return Index(package, msgspec.msgpack.decode(data, type=Indexed))


def sort_key(version: str) -> tuple[int, ...]:
    """ "4.46.3" -> (4, 46, 3), for sorting."""
    return tuple(int(part) for part in version.split(".") if part.isdigit())
