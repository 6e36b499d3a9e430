"""Whether somebody else's code would run for a configuration, and whether anybody said that it may."""

from __future__ import annotations

from collections.abc import Sequence

from preflight_ocr.harness.config.hub import find_model_files
from preflight_ocr.harness.config.packages import RUNNING, tell_absent
from preflight_ocr.harness.config.schema import Config
from preflight_ocr.harness.facts import Repository, Unknown

NO_TRUST = "foreign code is not run without trust: read it, then set model.trust_remote_code: true or give --trust"
NOT_HERE = Unknown(reason="the model is not on this machine")
PARTS = ("model", "collator", "peft", "trainer", "dataset")


def is_foreign(config: Config, repository: Repository | Unknown, parts: Sequence[str] = PARTS) -> bool:
    """Whether the model's repository brings code, or one of these parts is the user's own."""
    brings = isinstance(repository, Repository) and repository.has_remote_code
    return brings or any(getattr(config.subject, part) is not None for part in parts)


def find_refusal(config: Config, *, trust: bool, parts: Sequence[str] = PARTS) -> str:
    """Why nothing may or can be run for it, "" where it may. Without trust the model directory is read, nothing imported."""
    from preflight_ocr.probes.reading.exports import open_exports
    from preflight_ocr.probes.reading.repository import find_model_directory, look_at_repository

    if (absent := tell_absent("running a model", RUNNING)) or trust:
        return absent
    directory = find_model_directory(config)
    if isinstance(directory, Unknown):
        return directory.reason
    return NO_TRUST if is_foreign(config, look_at_repository(directory, open_exports()), parts) else ""


def lacks_trust(config: Config) -> bool:
    """Whether somebody else's code would run for it and nobody said that it may. Asked before anything else, always.

    A model that is not on this machine is not asked here: the check says that it is missing.
    """
    from preflight_ocr.probes.reading.exports import open_exports
    from preflight_ocr.probes.reading.repository import look_at_repository

    if config.model.trust_remote_code:
        return False
    directory = find_model_files(config)
    return is_foreign(config, look_at_repository(directory, open_exports()) if directory else NOT_HERE)
