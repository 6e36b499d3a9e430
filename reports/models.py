"""The models that are declared, as a table: what each takes, what prepares it, which releases have it, what runs here.

Read, never run: what a family declares, what its miniature's files say, the index of releases, and the source of the
installed packages. Nothing heavy is imported, so that the table is there at once.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from preflight_ocr.fixtures.corpus.models import Miniature, find_miniatures, place_model
from preflight_ocr.fixtures.native import Recipe, load_recipe
from preflight_ocr.harness.commands.window import read_window
from preflight_ocr.harness.commands.window.releases import open_index
from preflight_ocr.harness.families import FAMILIES, Family
from preflight_ocr.probes.reading.exports import Exports, open_exports
from preflight_ocr.probes.reading.json_files import get_object, read_object
from preflight_ocr.reports.window.terminal import describe

if TYPE_CHECKING:
    from collections.abc import Mapping

TITLES = ("family", "auto class", "processor", "image arguments", "image token", "task type", "transformers")
_CONFIGURATIONS = ("processor_config.json", "preprocessor_config.json", "tokenizer_config.json", "config.json")
_NEED_TORCHVISION = (
    "TorchvisionBackend",
    "BaseImageProcessorFast",
)  # bases of image processors since transformers 4.49


class ModelRow(msgspec.Struct, frozen=True, kw_only=True):
    """One declared family.

    `processor` is None where the repository names none whose code exists, `image_token` where pictures take no place among
    the tokens. `releases` are those of transformers in the index that have it, as "first to last".
    """

    name: str
    shown: str
    auto_class: str
    processor: str | None
    image_arguments: tuple[tuple[str, str], ...]
    """(argument of forward, what it carries)"""
    image_token: str | None
    task_type: str
    releases: str

    def cells(self) -> tuple[str, ...]:
        """The row under `TITLES`."""
        arguments = ", ".join(f"{name} ({role})" for name, role in self.image_arguments)
        processor, token = self.processor or "none, its tokenizer", self.image_token or "none"
        return self.shown, self.auto_class, processor, arguments, token, self.task_type, self.releases


def read_models() -> Iterator[ModelRow]:
    """Every declared family, in the order of the declarations."""
    miniatures = {miniature.family.name: miniature for miniature in find_miniatures()}
    for family in FAMILIES.values():
        miniature = miniatures[family.name]
        if miniature.is_native:
            yield _read_native(family, load_recipe(miniature.name))
        else:
            yield _read_remote(family, place_model(miniature.name))


def find_obstacles() -> dict[str, str | None]:
    """By the family's name, why the installed packages cannot have its miniature, None where they can."""
    exports = open_exports()
    found = {miniature.family.name: _find_obstacle(miniature, exports) for miniature in find_miniatures()}
    exports.save()
    return found


def render(width: int = 100) -> str:
    """The models for a terminal, a paragraph for each family: no table of eight columns fits `width` columns."""
    obstacles = find_obstacles()
    lines = [*textwrap.wrap(f"What can be run here is seen from {_list_versions()}.", width), ""]
    for row in read_models():
        said = f"{row.shown}: {obstacles[row.name] or 'can be run here'}"
        lines += textwrap.wrap(said, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
        parts = dict(zip(TITLES, row.cells(), strict=True))
        for title in TITLES[1:]:
            lines += textwrap.wrap(
                parts[title],
                width,
                initial_indent=f"  {title:<15}  ",
                subsequent_indent=" " * 19,
                break_long_words=False,
                break_on_hyphens=False,
            )
    return "\n".join(lines)


def _read_native(family: Family, recipe: Recipe) -> ModelRow:
    index = open_index("transformers")
    needs = (family.auto_class, *recipe.needs)
    have = [release.version for release in index.releases if not _list_missing(needs, release)]
    return _fill(family, recipe.needs[-1], recipe.image_token, describe(have, index.versions))


def _read_remote(family: Family, directory: Path) -> ModelRow:
    files = [content for name in _CONFIGURATIONS if isinstance(content := read_object(directory / name), dict)]
    window = read_window(directory).find("transformers")
    releases = describe(window.fits, window.indexed)
    return _fill(family, _find_processor(directory, files), _find_image_token(directory, files), releases)


def _fill(family: Family, processor: str | None, image_token: str | None, releases: str) -> ModelRow:
    return ModelRow(
        name=family.name,
        shown=family.shown,
        auto_class=family.auto_class,
        processor=processor,
        image_arguments=tuple(family.roles.items()),
        image_token=image_token,
        task_type=family.task_type,
        releases=releases,
    )


def _find_processor(directory: Path, files: Sequence[Mapping[str, Any]]) -> str | None:
    """The processor that the files name, if the repository's code has such a class."""
    named = next((content["processor_class"] for content in files if content.get("processor_class")), None)
    if named is None:
        return None
    defines = re.compile(rf"^class {re.escape(named)}\b", re.MULTILINE)
    has_code = any(defines.search(path.read_text(encoding="utf-8")) for path in directory.glob("*.py"))
    return str(named) if has_code else None


def _find_image_token(directory: Path, files: Sequence[Mapping[str, Any]]) -> str | None:
    """By its name, else by the number that the configuration gives it."""
    for content in files:
        if isinstance(token := content.get("image_token"), str):
            return token
    number = next((content["image_token_id"] for content in files if "image_token_id" in content), None)
    described = read_object(directory / "tokenizer_config.json")
    added = get_object(described, "added_tokens_decoder") if isinstance(described, dict) else {}
    return get_object(added, str(number)).get("content")


def _find_obstacle(miniature: Miniature, exports: Exports) -> str | None:
    """What `fixtures/corpus/models/find_model_obstacle` finds by importing, read from the source instead."""
    if not exports.is_installed("transformers"):
        return "transformers is not installed"
    release = f"transformers {metadata.version('transformers')}"
    recipe = load_recipe(miniature.name) if miniature.is_native else None
    needs = recipe.needs if recipe else miniature.needs
    if missing := _list_missing(needs, exports):
        return f"{release} has no {missing[0]}"
    for name in needs:
        if _needs_torchvision(name, exports) and not exports.is_installed("torchvision"):
            return f"{name} of {release} needs torchvision, which is not installed"
    packages = recipe.list_packages(lambda name: not _list_missing((name,), exports)) if recipe else ()
    absent = [package for package in packages if not exports.is_installed(package)]
    return f"the processor of {miniature.shown} needs {', '.join(absent)}, which is not installed" if absent else None


def _list_missing(names: Sequence[str], exports: Exports) -> list[str]:
    """Those that transformers certainly does not export; an image processor may be there under another name."""
    return [name for name in names if exports.resolve("transformers", name)[0].startswith("missing")]


def _needs_torchvision(name: str, exports: Exports) -> bool:
    """Whether this image processor works on torchvision alone: others have a second class, for Pillow."""
    if exports.resolve("transformers", f"{name}Pil")[0] == "found":
        return False
    return any(base in _NEED_TORCHVISION for base in _list_bases("transformers", name, exports))


def _list_bases(module: str, name: str, exports: Exports) -> Iterator[str]:
    """The names of a class's bases, and of theirs, as far as reading can follow them."""
    found = exports.find_class(module, name)
    if found is None:
        return
    for base in found[1].bases:
        yield base
        yield from _list_bases(found[0], base, exports)


def _list_versions() -> str:
    """The installed packages that decide what can be run."""
    shown = []
    for package in ("torch", "transformers", "torchvision"):
        try:
            shown.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            shown.append(f"no {package}")
    return ", ".join(shown)
