"""Write the index of what each release exports, from published wheels: `python -m harness.window.build`.

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

from harness import atomic
from harness.facts import Unknown
from harness.window.reading import FileNames, read_file
from harness.window.releases import INDEX, Indexed, IndexedClass, IndexedModule, Timeline, sort_key

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
        subprocess.run([*command, "--dest", str(folder), f"{package}=={version}"], check=True)
    return next(folder.glob(pattern))


class Wheels:
    """Reads the wheels of one package. A file that did not change from one release to the next is parsed once."""

    def __init__(self, package: str) -> None:
        self._package = package
        self._read: dict[tuple[str, int], FileNames | Unknown] = {}

    def read(self, wheel: Path) -> dict[str, FileNames]:
        """Module -> what it defines. A file that cannot be parsed is left out, so that nothing is claimed about it."""
        found: dict[str, FileNames] = {}
        with zipfile.ZipFile(wheel) as archive:
            for entry in sorted(archive.namelist()):
                if not entry.startswith(f"{self._package}/") or not entry.endswith(".py") or _LEFT_OUT.search(entry):
                    continue
                key = (entry, archive.getinfo(entry).CRC)
                steps = entry.removesuffix(".py").split("/")
                module = ".".join(steps[:-1] if steps[-1] == "__init__" else steps)
                if key not in self._read:
                    self._read[key] = read_file(archive.read(entry), module, is_package=steps[-1] == "__init__")
                names = self._read[key]
                if isinstance(names, FileNames):
                    found[module] = names
        return found


def index(package: str, releases: Mapping[str, Mapping[str, FileNames]]) -> Indexed:
    """One index of all releases; `releases` is version -> module -> its names, in the order of the versions."""
    whole = (1 << len(releases)) - 1
    ever = {module for modules in releases.values() for module in modules}
    layers: dict[str, dict[int, tuple[FileNames, _Values]]] = {}
    for place, modules in enumerate(releases.values()):
        for module, names in modules.items():
            bound = _bind(module, names, modules, ever)
            layers.setdefault(module, {})[1 << place] = (names, bound)
    encoded = {module: msgspec.Raw(msgspec.msgpack.encode(_merge(layers[module], whole))) for module in sorted(layers)}
    return Indexed(tuple(releases), encoded)


def write(indexed: Indexed, path: Path) -> int:
    """Compress and write the index; returns its size in bytes."""
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 2**26, "lc": 4, "lp": 0}]
    data = lzma.compress(msgspec.msgpack.encode(indexed), lzma.FORMAT_XZ, lzma.CHECK_CRC32, filters=filters)
    atomic.write_bytes(path, data)
    return len(data)


def _bind(module: str, names: FileNames, modules: Mapping[str, FileNames], ever: Iterable[str]) -> _Values:
    """Everything the module binds: its own names, those of `import *`, those it gathers from the modules below it."""
    bound = dict(_expand(module, modules, frozenset()))
    if names.module.tree:
        below = f"{module}."
        for inner, other in modules.items():
            if inner.startswith(below):
                for name in other.module.exported or ():
                    bound.setdefault(name, f"{inner}:{name}")
    for word in names.quoted:  # a package may make such a module when it is imported
        inner = f"{module}.{word}"
        if inner in ever and inner not in modules:
            bound.setdefault(word, "?")
    return bound


def _expand(module: str, modules: Mapping[str, FileNames], seen: frozenset[str]) -> Iterator[tuple[str, str]]:
    names = modules[module].module
    for star in names.stars:
        if star in modules and star not in seen:
            exported = modules[star].module.exported
            for name, _ in _expand(star, modules, seen | {module}):
                if name in exported if exported is not None else not name.startswith("_"):
                    yield name, f"{star}:{name}"
    yield from names.names.items()


def _merge(layers: Mapping[int, tuple[FileNames, _Values]], whole: int) -> IndexedModule:
    """The releases of one module laid over each other. `layers`: the bit of a release -> the module in it."""
    mask = sum(layers)
    flags, names, functions = {}, {}, {}
    classes: dict[str, dict[int, tuple[str, _Values]]] = {}
    for bit, (file, bound) in layers.items():
        module = file.module
        stars = [star for star in module.stars if not star.startswith(f"{next(iter(star.split('.')))}.models.")]
        foreign = ",".join(star for star in stars if star.partition(".")[0] not in OLDEST)
        flags[bit] = {"": "l" * module.lazy + "d" * bool(module.dynamic) + (f"*{foreign}" if foreign else "")}
        names[bit], functions[bit] = bound, file.functions
        for name, known in module.classes.items():
            kind = "?" * (not known.fixed) + "@" * (known.fields is not None)
            members = file.members.get(name, {})
            classes.setdefault(name, {})[bit] = (f"{kind}{','.join(known.bases)}", members)
    return IndexedModule(
        mask,
        _lay(flags, mask)[""],
        _lay(names, mask),
        _lay(functions, mask),
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
            size = write(index(package, releases), INDEX / f"{package}.msgpack.xz")
            click.echo(f"{package}: {len(releases)} releases, {size / 2**20:.2f} MiB")


if __name__ == "__main__":
    main()
