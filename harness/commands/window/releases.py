"""What each release of a library exports, from the index in this package: nothing is installed or imported.

The index is one file for each library: lzma over msgpack, every module encoded on its own, so that only the modules that
are asked about are ever decoded. Values that change from release to release are timelines: [(bits of releases, value)].
"""

from __future__ import annotations

import builtins
import functools
import importlib.machinery
import lzma
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from preflight_ocr.harness.commands.window.reading import FIELD, Call, read_signature
from preflight_ocr.harness.facts import Unknown
from preflight_ocr.probes.reading.exports import EMPTY_BASES, Answer, ClassNames, Exports, ModuleNames

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
    """A class with the kind of each member: see `harness/commands/window/reading`."""

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


def _cover(timeline: Timeline, whole: int) -> int:
    """The releases in which a timeline has a value."""
    return whole if isinstance(timeline, str) else sum(mask for mask, _ in timeline)


class Release(Exports):
    """One release, asked as `probes/reading/exports` asks what is installed."""

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
                foreign = "." in here[1] or here[1] in vars(builtins)
                yield here[1] if foreign else f"{here[0]}.{here[1]}", None
                continue
            owner, known = found
            assert isinstance(known, ClassMembers)
            yield owner, known
            if not known.fixed:
                yield f"a computed base of {name}", None
            bases = [self.resolve_base(owner, base) for base in known.bases]
            waiting = [base for base in bases if base[1] not in EMPTY_BASES] + waiting

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

    def _pick(self, timeline: Timeline | None) -> str | None:
        return pick(timeline, self._bit)

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
    return Index(package, read_index(INDEX / f"{package}.msgpack.xz"))


def read_index(path: Path) -> Indexed:
    """What an index file holds, its modules still encoded. Raises OSError when it is not there."""
    return msgspec.msgpack.decode(lzma.decompress(path.read_bytes()), type=Indexed)


def sort_key(version: str) -> tuple[int, ...]:
    """ "4.46.3" -> (4, 46, 3), for sorting."""
    return tuple(int(part) for part in version.split(".") if part.isdigit())
