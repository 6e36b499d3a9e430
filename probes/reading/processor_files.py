"""The processor's JSON files, and whether there is any code behind the class they name."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeGuard

from preflight_ocr.harness.facts import ProcessorFiles, Unknown
from preflight_ocr.probes.reading.exports import Exports
from preflight_ocr.probes.reading.json_files import get_object, get_text, read_object

_FILES = ("processor_config.json", "preprocessor_config.json")
_CLASS_KEYS = ("processor_class", "image_processor_type", "feature_extractor_type")
_AUTO_PROCESSORS = ("AutoProcessor", "AutoImageProcessor")


def look_at_processor_files(directory: Path, exports: Exports) -> ProcessorFiles | Unknown:
    """What processor_config.json and preprocessor_config.json say; Unknown when one is broken or neither is there."""
    documents: dict[str, dict[str, Any]] = {}
    for name in (*_FILES, "config.json", "tokenizer_config.json"):
        values = read_object(directory / name)
        if isinstance(values, Unknown):
            return values
        if values is not None:
            documents[name] = values
    own = [documents[name] for name in _FILES if name in documents]
    if not own:
        return Unknown(reason=f"{directory}: there is neither processor_config.json nor preprocessor_config.json")
    # Newer processors keep the image processor's values in an object of their own.
    nested = [*own, *(get_object(values, "image_processor") for values in own)]
    classes = [get_text(values, key) for key in _CLASS_KEYS for values in nested]
    declared = next((name for name in classes if name), None)
    mapped = any(
        isinstance(get_object(values, "auto_map").get(key), str)
        for values in documents.values()
        for key in _AUTO_PROCESSORS
    )
    return ProcessorFiles(
        declared_class=declared,
        class_has_code=mapped or (declared is not None and exports.resolve("transformers", declared)[0] == "found"),
        image_token=next((token for values in own if (token := _read_token(values))), None),
        mean=_read_channels(nested, "image_mean"),
        std=_read_channels(nested, "image_std"),
    )


def _read_token(values: dict[str, Any]) -> str | None:
    return get_text(values, "image_token") or get_text(get_object(values, "image_token"), "content")


def _read_channels(documents: list[dict[str, Any]], key: str) -> tuple[float, ...] | None:
    """One number per channel; a single number stands for all of them."""
    for values in documents:
        given = values.get(key)
        channels = given if isinstance(given, list) else [given]
        numbers = tuple(float(item) for item in channels if _is_number(item))
        if numbers and len(numbers) == len(channels):
            return numbers
    return None


def _is_number(value: object) -> TypeGuard[float]:
    """A finite number that JSON can carry back; NaN and infinity cannot be written into facts."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e9
