"""What a model's JSON files ask of transformers by name: the classes that loading it looks up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from preflight_ocr.harness.commands.window.uses import Use
from preflight_ocr.harness.facts import Site
from preflight_ocr.probes.reading.json_files import get_object, read_object

LOADING = "from_pretrained"
_PROCESSORS = ("processor_config.json", "preprocessor_config.json", "tokenizer_config.json")


def find_declared(directory: Path) -> Iterator[Use]:
    """The model's class and its processor's, each with its line; nothing where the model's own code has the model.

    An image processor's class is left out: transformers also takes the one of that name with or without "Fast".
    """
    config = read_object(directory / "config.json")
    if not isinstance(config, dict) or get_object(config, "auto_map"):
        return
    architectures = config.get("architectures")
    if isinstance(architectures, list) and architectures and isinstance(architectures[0], str):
        yield need(architectures[0], find_line(directory / "config.json", architectures[0]))
    for name in _PROCESSORS:
        content = read_object(directory / name)
        if isinstance(content, dict) and isinstance(known := content.get("processor_class"), str):
            yield need(known, find_line(directory / name, known))
            return


def need(name: str, site: Site) -> Use:
    """That transformers must export `name`; it is asked for when the model is loaded."""
    return Use(kind="import", package="transformers", target="transformers", name=name, site=site, function=LOADING)


def find_line(path: Path, value: str) -> Site:
    """The first line of a text file that has this value in quotation marks."""
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if f'"{value}"' in line:
            return Site(file=path.name, line=number, code=line.strip()[:200], kind="", runs=None)
    return Site(file=path.name, line=1, code="", kind="", runs=None)
