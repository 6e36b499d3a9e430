"""How many tokens the model knows: what a loss is held against."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preflight_ocr.harness.facts import Repository, Unknown

if TYPE_CHECKING:
    from preflight_ocr.harness.config.schema import Config


def read_vocabulary(config: Config) -> int | None:
    """The vocabulary in the model's files; None where the model cannot be found or its config.json gives none."""
    from preflight_ocr.probes.reading.exports import open_exports
    from preflight_ocr.probes.reading.repository import find_model_directory, look_at_repository

    directory = find_model_directory(config)
    if isinstance(directory, Unknown):
        return None
    repository = look_at_repository(directory, open_exports())
    size = repository.vocabulary if isinstance(repository, Repository) else None
    return None if isinstance(size, Unknown) else size
