"""Imported by the process that a corpus run forks its children from, so that no child has to import a model's classes.

Beside imports it fills one cache: the patterns by which transformers renames weights, compiled at a process's first model.
"""

from __future__ import annotations

import importlib
from importlib.util import find_spec

import transformers

from preflight_ocr.fixtures.native import find_obstacle, find_recipes

MODULES = (
    "preflight_ocr.fixtures.corpus.dry_run",
    "preflight_ocr.fixtures.corpus.planted",
    "preflight_ocr.harness.training.collate",
    "PIL.PngImagePlugin",
    "preflight_ocr.probes.batch.collator",
    "preflight_ocr.probes.forward.forward",
    "preflight_ocr.probes.learning.learning",
    "transformers.trainer",
)


def _import_models() -> None:
    """The classes of every family that the installed libraries have; being asked for is what imports them."""
    for recipe in find_recipes():
        if find_obstacle(recipe) is None:
            for name in recipe.needs:
                getattr(transformers, f"{name}Pil", None)  # without torchvision this is the image processor in use


def _compile_patterns() -> None:
    if find_spec("transformers.conversion_mapping"):  # before 5, transformers renames no weights
        importlib.import_module("transformers.conversion_mapping").get_checkpoint_conversion_mapping("")


for module in MODULES:
    importlib.import_module(module)
_import_models()
_compile_patterns()
