"""What reading says about a cell beforehand, and whether running agrees."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from preflight_ocr.harness.commands.matrix.cells import Cell
from preflight_ocr.harness.commands.matrix.records import ModelRecord, Prediction
from preflight_ocr.harness.commands.window.window import PackageWindow, judge_names, read_window
from preflight_ocr.harness.config.errors import UserError
from preflight_ocr.harness.config.schema import Config
from preflight_ocr.harness.facts import Site


def predict(config: Config, cell: Cell) -> Prediction:
    """What `preflight window` says about this project in the cell's releases."""
    try:
        window = read_window(config)
    except UserError as error:
        return Prediction(verdict="unknown", reason=str(error))
    return _combine([window.find(package) for package in ("transformers", "peft", "accelerate")], cell)


def predict_names(names: Sequence[str], site: Site, cell: Cell) -> Prediction:
    """The same for a model whose files are not there: these releases may be unable to write them."""
    return _combine([judge_names(names, site)], cell)


def compare(record: ModelRecord, *, expected: Sequence[str] = ()) -> ModelRecord:
    """The record with `agrees` and `explanation`. `expected` are diagnoses that the releases themselves bring about."""
    prediction = record.prediction
    if prediction is None or prediction.verdict == "unknown" or record.ending in ("failed", "unjudged"):
        return record
    breaches = [breach for breach in record.breaches if breach.severity != "NOTE"]
    runs = record.ending == "clear" and not breaches
    fits = prediction.verdict == "fits"
    if runs == fits:
        return msgspec.structs.replace(record, agrees=True)
    if record.ending == "absent" and not record.is_without_class:
        # A package beside these libraries is missing, of which the window says nothing.
        return msgspec.structs.replace(record, explanation=record.reason)
    if fits and not breaches:
        said = f"{record.reason}: reading did not see that"
    elif fits:
        first = breaches[0]
        known = "the releases do it by themselves, shown without a probe; " if first.name in expected else ""
        said = f"{known}{first.code} {first.name} is behaviour, and reading sees names and signatures: {first.summary}"
    else:
        said = f"{prediction.reason} ({prediction.place}): the check never came to that line"
    return msgspec.structs.replace(record, agrees=False, explanation=said)


def _combine(windows: Sequence[PackageWindow], cell: Cell) -> Prediction:
    for window in windows:
        release = getattr(cell, window.package)
        if release not in window.indexed:
            same = [version for version in window.indexed if _minor(version) == _minor(release)]
            if not same:
                return Prediction(verdict="unknown", reason=f"{window.package} {release} is not in the index")
            release = same[-1]
        if release not in window.fits:
            failure = window.failures(release)[0]
            site = failure.sites[0]
            return Prediction(verdict="fails", reason=failure.reason, place=f"{site.file}:{site.line}")
    return Prediction(verdict="fits")


def _minor(version: str) -> list[str]:
    return version.split(".")[:2]
