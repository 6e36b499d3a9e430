"""Write the index of what each release exports, from published wheels.

`python -m preflight_ocr.harness.commands.window.build` does it.

The wheels are fetched with `pip download --no-deps` into a temporary folder and read as archives: nothing in them is
installed, unpacked or executed. For every minor release its last patch counts.
"""

from __future__ import annotations

import lzma
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import click
import msgspec

from preflight_ocr.harness import atomic
from preflight_ocr.harness.commands.window.releases import (
    INDEX,
    Indexed,
    IndexedClass,
    IndexedModule,
    Timeline,
    pick,
    pick_all,
    sort_key,
)
from preflight_ocr.harness.facts import Unknown
from preflight_ocr.probes.reading.definitions import ModuleNames, read_module

OLDEST: Mapping[str, str] = {"transformers": "4.40", "peft": "0.10", "accelerate": "0.30"}
_LEFT_OUT = re.compile(r"(^|/)convert_[^/]*\.py$|(^|/)tests?/")
_Values = dict[str, str]


def list_releases(package: str) -> tuple[str, ...]:
    """The last patch of every minor release on the package index, oldest first."""
    command = [sys.executable, "-m", "pip", "index", "versions", package]
    text = subprocess.run(command, check=True, capture_output=True, text=True, encoding="utf-8").stdout
    listed = re.search(r"^Available versions: (.*)$", text, re.MULTILINE)
    newest: dict[tuple[int, ...], str] = {}
    for version in listed[1].split(", ") if listed else ():
        if re.fullmatch(r"\d+\.\d+\.\d+", version) and sort_key(version) >= sort_key(OLDEST[package]):
            minor = sort_key(version)[:2]
            newest[minor] = max(newest.get(minor, version), version, key=sort_key)
    return tuple(newest[minor] for minor in sorted(newest))


def fetch(package: str, version: str, folder: Path) -> Path:
    """The release's wheel in `folder`, downloaded unless it is there."""
    pattern = f"{package}-{version}-*.whl"
    if not any(folder.glob(pattern)):
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        wanted = [*command, "--dest", str(folder), f"{package}=={version}"]
        subprocess.run(wanted, check=True, capture_output=True, text=True, encoding="utf-8")
    return next(folder.glob(pattern))


class Wheels:
    """Reads the wheels of one package. A file that did not change from one release to the next is parsed once."""

    def __init__(self, package: str) -> None:
        self._package = package
        self._read: dict[tuple[str, int], ModuleNames | Unknown] = {}

    def read(self, wheel: Path) -> dict[str, ModuleNames]:
        """Module -> what it defines. A file that cannot be parsed is left out, so that nothing is claimed about it."""
        found: dict[str, ModuleNames] = {}
        with zipfile.ZipFile(wheel) as archive:
            for entry in sorted(archive.namelist()):
                if not entry.startswith(f"{self._package}/") or not entry.endswith(".py") or _LEFT_OUT.search(entry):
                    continue
                key = (entry, archive.getinfo(entry).CRC)
                steps = entry.removesuffix(".py").split("/")
                module = ".".join(steps[:-1] if steps[-1] == "__init__" else steps)
                if key not in self._read:
                    self._read[key] = read_module(
                        module, archive.read(entry), module, is_package=steps[-1] == "__init__"
                    )
                names = self._read[key]
                if isinstance(names, ModuleNames):
                    found[module] = names
        return found


class Layer(msgspec.Struct, frozen=True):
    """One module in one release, as the index keeps it. `classes`: name -> (its bases, its members)."""

    flags: str
    names: _Values
    functions: _Values
    classes: dict[str, tuple[str, _Values]]


def index(releases: Mapping[str, Mapping[str, ModuleNames]]) -> Indexed:
    """One index of all releases; `releases` is version -> module -> its names, in the order of the versions."""
    return extend(Indexed((), {}), releases)


def extend(known: Indexed, releases: Mapping[str, Mapping[str, ModuleNames]]) -> Indexed:
    """The index with more releases, which must be newer. Of two patches of one minor release the newer one stays.

    Raises ValueError for a release that is not newer.
    """
    if known.versions and any(sort_key(version) <= sort_key(known.versions[-1]) for version in releases):
        raise ValueError(f"the index goes to {known.versions[-1]}; {', '.join(releases)} are not all newer")
    replaced = {sort_key(version)[:2] for version in releases}
    kept = [place for place, version in enumerate(known.versions) if sort_key(version)[:2] not in replaced]
    ever = {*known.modules, *(module for modules in releases.values() for module in modules)}
    layers: dict[str, dict[int, Layer]] = {}
    for module, raw in known.modules.items():
        decoded = msgspec.msgpack.decode(raw, type=IndexedModule)
        layers[module] = {
            1 << place: _take_out(decoded, 1 << old) for place, old in enumerate(kept) if decoded.releases & 1 << old
        }
    for place, modules in enumerate(releases.values(), start=len(kept)):
        for module, names in modules.items():
            layers.setdefault(module, {})[1 << place] = _make_layer(names, _bind(module, names, modules, ever))
    encoded = {
        module: msgspec.Raw(msgspec.msgpack.encode(_merge(layers[module])))
        for module in sorted(layers)
        if layers[module]
    }
    return Indexed((*(known.versions[place] for place in kept), *releases), encoded)


def write(indexed: Indexed, path: Path) -> int:
    """Compress and write the index; returns its size in bytes."""
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 2**26, "lc": 4, "lp": 0}]
    data = lzma.compress(msgspec.msgpack.encode(indexed), lzma.FORMAT_XZ, lzma.CHECK_CRC32, filters=filters)
    atomic.write_bytes(path, data)
    return len(data)


def _bind(module: str, names: ModuleNames, modules: Mapping[str, ModuleNames], ever: Iterable[str]) -> _Values:
    """Everything the module binds: its own names, those of `import *`, those it gathers from the modules below it."""
    bound = dict(_expand(module, modules, frozenset()))
    if names.tree:
        below = f"{module}."
        for inner, other in modules.items():
            if inner.startswith(below):
                for name in other.exported or ():
                    bound.setdefault(name, f"{inner}:{name}")
    for word in names.quoted:  # a package may make such a module when it is imported
        inner = f"{module}.{word}"
        if inner in ever and inner not in modules:
            bound.setdefault(word, "?")
    return bound


def _expand(module: str, modules: Mapping[str, ModuleNames], seen: frozenset[str]) -> Iterator[tuple[str, str]]:
    names = modules[module]
    for star in names.stars:
        if star in modules and star not in seen:
            exported = modules[star].exported
            for name, _ in _expand(star, modules, seen | {module}):
                if name in exported if exported is not None else not name.startswith("_"):
                    yield name, f"{star}:{name}"
    yield from names.names.items()


def _make_layer(module: ModuleNames, bound: _Values) -> Layer:
    """What a module defines, with everything that it binds."""
    stars = [star for star in module.stars if not star.startswith(f"{next(iter(star.split('.')))}.models.")]
    foreign = ",".join(star for star in stars if star.partition(".")[0] not in OLDEST)
    flags = "l" * module.lazy + "d" * bool(module.dynamic) + (f"*{foreign}" if foreign else "")
    classes = {
        name: (f"{'?' * (not known.fixed)}{'@' * (known.fields is not None)}{','.join(known.bases)}", known.members)
        for name, known in module.classes.items()
    }
    return Layer(flags, bound, module.functions, classes)


def _take_out(module: IndexedModule, bit: int) -> Layer:
    """One release of a module that is in the index already."""
    classes = {
        name: (bases, pick_all(entry.members, bit))
        for name, entry in module.classes.items()
        if (bases := pick(entry.bases, bit)) is not None
    }
    return Layer(pick(module.flags, bit) or "", pick_all(module.names, bit), pick_all(module.functions, bit), classes)


def _merge(layers: Mapping[int, Layer]) -> IndexedModule:
    """The releases of one module laid over each other. `layers`: the bit of a release -> the module in it."""
    mask = sum(layers)
    classes: dict[str, dict[int, tuple[str, _Values]]] = {}
    for bit, layer in layers.items():
        for name, known in layer.classes.items():
            classes.setdefault(name, {})[bit] = known
    return IndexedModule(
        mask,
        _lay({bit: {"": layer.flags} for bit, layer in layers.items()}, mask)[""],
        _lay({bit: layer.names for bit, layer in layers.items()}, mask),
        _lay({bit: layer.functions for bit, layer in layers.items()}, mask),
        {name: _merge_class(classes[name], mask) for name in sorted(classes)},
    )


def _merge_class(layers: Mapping[int, tuple[str, _Values]], mask: int) -> IndexedClass:
    bases = _lay({bit: {"": text} for bit, (text, _) in layers.items()}, mask)[""]
    return IndexedClass(bases, _lay({bit: members for bit, (_, members) in layers.items()}, sum(layers)))


def _lay(layers: Mapping[int, _Values], mask: int) -> dict[str, Timeline]:
    """Name -> its value where that never changes while its owner is there, else [(releases, value), ...]."""
    values: dict[str, dict[str, int]] = {}
    for bit, layer in layers.items():
        for name, value in layer.items():
            masks = values.setdefault(name, {})
            masks[value] = masks.get(value, 0) | bit
    return {
        name: next(iter(masks)) if [*masks.values()] == [mask] else [(m, value) for value, m in masks.items()]
        for name, masks in sorted(values.items())
    }


@click.command()
@click.option(
    "--wheels", type=click.Path(file_okay=False, path_type=Path), help="Keep downloaded wheels in this folder."
)
@click.option("--package", "packages", multiple=True, type=click.Choice(list(OLDEST)), help="Only this package.")
def main(wheels: Path | None, packages: tuple[str, ...]) -> None:
    """Download the wheels and write one index file for each package."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = wheels or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for package in packages or OLDEST:
            reader, releases = Wheels(package), {}
            for version in list_releases(package):
                releases[version] = reader.read(fetch(package, version, folder))
                click.echo(f"{package} {version}: {len(releases[version])} modules", err=True)
            size = write(index(releases), INDEX / f"{package}.msgpack.xz")
            click.echo(f"{package}: {len(releases)} releases, {size / 2**20:.2f} MiB")


if __name__ == "__main__":
    main()
