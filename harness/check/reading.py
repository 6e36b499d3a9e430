"""What a check reads: files, JSON, AST, image headers. Nothing foreign is executed, neither torch nor PEFT is imported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from preflight_ocr.harness.check.seen import Progress, measure
from preflight_ocr.harness.config.schema import Config
from preflight_ocr.harness.facts import Fact, Facts, Tokenizer, Unknown


def read(config: Config, *, progress: Progress, timings: dict[str, float]) -> Facts:
    """Everything that files, JSON, AST and image headers tell. Executes nothing foreign, imports neither torch nor PEFT."""
    from preflight_ocr.probes.reading.configuration import look_at_configuration
    from preflight_ocr.probes.reading.dataset import look_at_dataset
    from preflight_ocr.probes.reading.environment import look_at_environment
    from preflight_ocr.probes.reading.exports import open_exports
    from preflight_ocr.probes.reading.processor_files import look_at_processor_files
    from preflight_ocr.probes.reading.repository import find_model_directory, look_at_repository
    from preflight_ocr.probes.reading.subject import look_at_subject
    from preflight_ocr.probes.reading.tokenizer import look_at_tokenizer

    sections: dict[str, Any] = {}

    def note(name: str, probe: Callable[[], Fact]) -> None:
        progress(f"reading: {name.replace('_', ' ')}")
        with measure(timings, f"read {name}"):
            sections[name] = _guard(probe)

    exports = open_exports()
    directory = find_model_directory(config)
    note("environment", look_at_environment)
    note("configuration", lambda: look_at_configuration(config, exports))
    if isinstance(directory, Unknown):
        sections |= dict.fromkeys(("repository", "tokenizer", "processor_files"), directory)
    else:
        note("repository", lambda: look_at_repository(directory, exports))
        note("tokenizer", lambda: look_at_tokenizer(directory))
        note("processor_files", lambda: look_at_processor_files(directory, exports))
    note("subject", lambda: look_at_subject(config, exports))
    tokenizer = sections["tokenizer"]
    image = tokenizer.image.content if isinstance(tokenizer, Tokenizer) and tokenizer.image else None
    note("dataset", lambda: look_at_dataset(config, image))
    exports.save()  # what was indexed of the installed packages is there for the next check
    return Facts(**sections)


def _guard(probe: Callable[[], Fact]) -> Fact:
    # One of the two doors: a probe that trips over somebody's files must not end the check.
    try:
        return probe()
    except Exception as error:  # noqa: BLE001
        return Unknown(reason=f"the probe failed: {type(error).__name__}: {error}", cause="our own failure")
