"""Pages are normalised with another mean and standard deviation than the model's.

## What it does
Recovers the mean and standard deviation that were really applied to each page, and compares them with the model's
own processor files.

## Why it matters
Every pixel arrives shifted and scaled. Nothing is raised and the loss still falls, because the adapter first learns
to undo the shift; what comes out reads worse than it could.

## Example
ImageNet's 0.485, 0.456, 0.406 for a model whose `processor_config.json` says 0.5, 0.5, 0.5.

## Use instead
Take `image_mean` and `image_std` from the model's processor files.

## References
- chain-15 in the project's list of real failures.
- torchvision documentation, `Normalize`: the constants most code is copied with are ImageNet's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from preflight_ocr.harness.facts import Facts, PixelView, ProcessorFiles
from preflight_ocr.harness.judging.findings import Basis, Finding, Severity
from preflight_ocr.harness.judging.header import Diagnosis
from preflight_ocr.harness.judging.wording import known, show_some

TOLERANCE = 0.02  # the recovered values carry the error of a regression over resampled pixels
FAMILIAR = {
    "ImageNet's": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "CLIP's": ((0.481, 0.458, 0.408), (0.269, 0.261, 0.276)),
    "SigLIP's": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "no (0..1)": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "no (0..255)": ((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255)),
}

DIAGNOSIS = Diagnosis(
    module=__name__,
    code="COL006",
    severity=Severity.MAJOR,
    basis=Basis.RAN,
    contract="pages are normalised as the model's processor files say",
    needs=("collator.batch", "collator.views", "processor_files.mean", "processor_files.std"),
    explains=("worse_than_guessing",),
    keys=("data.preprocessing.image_mean", "data.preprocessing.image_std", "subject.collator"),
    entries=("pixels",),
)


def excuse(facts: Facts) -> str:
    views = known(known(facts.collator).views)
    read = [v for v in views if v.mean and v.std]
    if not read:
        return "no page was recognised in the batch"
    if not _is_one(read):
        return "each page has a mean and a std of its own: its brightness or its contrast was changed"
    if not _list_wrong(facts) or _find_familiar(read[0]):
        return ""
    if all(_is_darker(v, known(facts.processor_files)) for v in read):
        return "the pages are darker or lighter than the files: their mean and std are larger or smaller by one factor"
    if len({v.row for v in read}) > 1:
        return ""
    return "one page alone was recognised, with a mean and a std that nobody uses: its colours may have been changed"


def examine(facts: Facts) -> Iterator[Finding]:
    files, wrong = known(facts.processor_files), _list_wrong(facts)
    mean, std = files.mean or (), files.std or ()
    if not wrong:
        return
    yield DIAGNOSIS.finding(
        f"Pages are normalised with {_name(wrong[0])}, expected mean {_show(mean)} and std {_show(std)}.",
        fix="Normalise with the mean and std of the model's processor files.",
        snippet=f"pixels = (pixels - torch.tensor({list(mean)}).view(3, 1, 1)) / torch.tensor({list(std)}).view(3, 1, 1)",
        evidence=show_some(f"{v.path}: mean {_show(v.mean or ())}, std {_show(v.std or ())}" for v in wrong),
    )


def _list_wrong(facts: Facts) -> list[PixelView]:
    files, views = known(facts.processor_files), known(known(facts.collator).views)
    mean, std = files.mean or (), files.std or ()
    return [v for v in views if v.mean and v.std and not (_is_close(v.mean, mean) and _is_close(v.std, std))]


def _is_darker(view: PixelView, files: ProcessorFiles) -> bool:
    """Whether a page whose every value was multiplied by one number, and normalised as it should be, looks like this."""
    mean, std = known(files.mean) or (), known(files.std) or ()
    factors = [
        seen / own for seen, own in zip((*(view.mean or ()), *(view.std or ())), (*mean, *std), strict=False) if own
    ]
    middle = sum(factors) / len(factors) if factors else 0.0
    return 0.5 < middle < 2.0 and all(abs(factor - middle) <= 2 * TOLERANCE * middle for factor in factors)


def _is_one(views: Sequence[PixelView]) -> bool:
    """Whether all pages were normalised with the same numbers, as far as a regression can tell."""

    def is_near(left: Sequence[float], right: Sequence[float]) -> bool:
        return all(abs(a - b) <= 2 * TOLERANCE * max(1.0, abs(a)) for a, b in zip(left, right, strict=True))

    first = views[0]
    return all(is_near(first.mean or (), v.mean or ()) and is_near(first.std or (), v.std or ()) for v in views[1:])


def _is_close(seen: Sequence[float], expected: Sequence[float]) -> bool:
    return len(seen) == len(expected) and all(abs(s - e) <= TOLERANCE for s, e in zip(seen, expected, strict=True))


def _find_familiar(view: PixelView) -> str:
    """Whose numbers these are; "" for nobody's."""
    return next(
        (name for name, (m, s) in FAMILIAR.items() if _is_close(view.mean or (), m) and _is_close(view.std or (), s)),
        "",
    )


def _name(view: PixelView) -> str:
    familiar = f"{_find_familiar(view)} ".lstrip()
    return f"{familiar}mean {_show(view.mean or ())} and std {_show(view.std or ())}"


def _show(values: Sequence[float]) -> str:
    return ", ".join(f"{v:.3g}" for v in values)
