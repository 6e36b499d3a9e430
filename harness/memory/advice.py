"""What to change when a step does not fit: from what costs no quality to what costs most, each measured and none guessed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from preflight_ocr.harness.config.schema import Config
from preflight_ocr.harness.facts import MemoryChange, Peak
from preflight_ocr.harness.memory.optimizers import LIBRARY

Measure = Callable[[Config], Peak | None]
"""What a step needs with this configuration; None where it cannot be had that way."""

_WORTH = 0.001  # a change that saves less than this part is none


class Lever(msgspec.Struct, frozen=True, kw_only=True):
    """One change. `values` are dotted keys of the YAML file."""

    words: str
    cost: str
    values: dict[str, Any]


def list_levers(config: Config, *, optim: str, weights_dtype: str, page_pixels: int | None) -> Iterator[Lever]:
    """The changes that could help, the cheapest first. `weights_dtype` is what the weights are in, `page_pixels` the size
    of the worst page."""
    training = config.training
    batch, rows = training.per_device_train_batch_size, training.gradient_accumulation_steps
    for smaller in dict.fromkeys(size for size in (batch // 2, 1) if 0 < size < batch and batch % size == 0):
        yield Lever(
            words=f"batch size {smaller}, accumulated over {rows * batch // smaller} steps",
            cost="no quality; a little slower",
            values={
                "training.per_device_train_batch_size": smaller,
                "training.gradient_accumulation_steps": rows * batch // smaller,
            },
        )
    if not training.gradient_checkpointing:
        yield Lever(
            words="gradient checkpointing",
            cost="no quality; forward is computed twice",
            values={
                "training.gradient_checkpointing": True,
                "training.gradient_checkpointing_kwargs": {"use_reentrant": False},
            },
        )
    if LIBRARY.get(optim) == "adamw":
        yield Lever(
            words="an 8-bit optimizer",
            cost="rounded moments; needs bitsandbytes",
            values={"training.optim": "adamw_8bit"},
        )
    if weights_dtype == "float32":
        yield Lever(
            words="bfloat16",
            cost="rounded weights; needs a card with bf16",
            values={"model.torch_dtype": "bfloat16", "training.bf16": True},
        )
    if config.lora.r >= 4:
        yield Lever(words=f"rank {config.lora.r // 2}", cost="a smaller adapter", values={"lora.r": config.lora.r // 2})
    yield from _list_image_levers(config, page_pixels)
    if config.data.max_seq_length is not None:
        half = config.data.max_seq_length // 2
        yield Lever(words=f"at most {half} tokens", cost="long texts are cut", values={"data.max_seq_length": half})


def _list_image_levers(config: Config, page_pixels: int | None) -> Iterator[Lever]:
    given = config.data.preprocessing
    if given.crop_mode is not False:
        yield Lever(
            words="no tiles", cost="small print is harder to read",
            values={"data.preprocessing.crop_mode": False},
        )  # fmt: skip
    most = min((n for n in (given.max_pixels, page_pixels) if n), default=None)
    for divisor in (2, 4) if most else ():
        yield Lever(
            words=f"pages of at most {most // divisor} pixels",  # type: ignore[operator]
            cost="small print is harder to read",
            values={"data.preprocessing.max_pixels": most // divisor},  # type: ignore[operator]
        )


def change(config: Config, values: Mapping[str, Any]) -> Config:
    """The configuration with these dotted keys set."""
    for key, value in values.items():
        config = _set(config, key.split("."), value)
    return config


def _set(section: Any, steps: Sequence[str], value: Any) -> Any:
    name, *rest = steps
    return msgspec.structs.replace(section, **{name: _set(getattr(section, name), rest, value) if rest else value})


def advise(
    config: Config, peak: Peak, budget: int, levers: Sequence[Lever], measure: Measure
) -> tuple[tuple[MemoryChange, ...], MemoryChange | None]:
    """Each change that saves something, and the least lossy of them together that fit; None where one alone is enough or
    all of them are not.

    Two levers on one key are never taken together: the later one, which goes further, takes the place of the other.
    """
    singles: list[tuple[Lever, MemoryChange]] = []
    for lever in levers:
        after = measure(change(config, lever.values))
        if after is not None and after.needed < peak.needed * (1 - _WORTH):
            singles.append((lever, _describe([lever], after, budget)))
    changes = tuple(made for _, made in singles)
    if not singles or any(made.fits for made in changes):
        return changes, None
    return changes, _combine(config, budget, [lever for lever, _ in singles], measure)


def _combine(config: Config, budget: int, levers: Sequence[Lever], measure: Measure) -> MemoryChange | None:
    chosen: list[Lever] = []
    found: Peak | None = None
    for lever in levers:
        tried = [*(c for c in chosen if not set(c.values) & set(lever.values)), lever]
        found = measure(_change_all(config, tried))
        if found is None:
            continue
        chosen = tried
        if found.needed <= budget:
            break
    else:
        return None
    for lever in reversed(chosen[:-1]):  # what the last one made needless, the costliest first
        fewer = [c for c in chosen if c is not lever]
        without = measure(_change_all(config, fewer))
        if without is not None and without.needed <= budget:
            chosen, found = fewer, without
    return _describe(chosen, found, budget)


def _change_all(config: Config, levers: Sequence[Lever]) -> Config:
    for lever in levers:
        config = change(config, lever.values)
    return config


def _describe(levers: Sequence[Lever], peak: Peak, budget: int) -> MemoryChange:
    values: dict[str, Any] = {}
    for lever in levers:
        values |= lever.values
    return MemoryChange(
        words=", ".join(lever.words for lever in levers),
        cost="; ".join(dict.fromkeys(lever.cost for lever in levers)),
        yaml=write_yaml(values),
        needed=peak.needed,
        fits=peak.needed <= budget,
    )


def write_yaml(values: Mapping[str, Any]) -> str:
    """Dotted keys as a YAML document."""
    import yaml

    tree: dict[str, Any] = {}
    for key, value in values.items():
        *sections, name = key.split(".")
        place = tree
        for section in sections:
            place = place.setdefault(section, {})
        place[name] = value
    return yaml.safe_dump(tree, sort_keys=False).rstrip()
