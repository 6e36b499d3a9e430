"""Packed weights: which layers compute with them, in what form, and whether the output head is one."""

from __future__ import annotations

import ast
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from torch import nn

from preflight_ocr.harness.config.schema import Config
from preflight_ocr.harness.facts import Quantised, Raised, Site, Unknown
from preflight_ocr.harness.training.quantising import is_packed, is_packing
from preflight_ocr.probes.reading.subject import read_part
from preflight_ocr.probes.workbench.assembly import Assembly
from preflight_ocr.probes.workbench.tracing import attempt

PARTS = ("model", "collator", "peft", "trainer")
MERGING = ("merge_and_unload", "merge_adapter")


def look_at_quantised(parts: Assembly) -> Quantised | Unknown | None:
    """What of the bare model is packed; None where nothing is."""
    found = attempt(lambda: _read_quantised(parts))
    return Unknown(reason=f"{found.type}: {found.message}") if isinstance(found, Raised) else found


def _read_quantised(parts: Assembly) -> Quantised | None:
    layers = {name: module for name, module in parts.bare.named_modules() if is_packing(module)}
    if not layers:
        return None
    inside = {id(parameter) for module in layers.values() for parameter in module.parameters()}
    others: Counter[str] = Counter()
    norms: Counter[str] = Counter()
    for module in parts.bare.modules():
        for parameter in module.parameters(recurse=False):
            if id(parameter) in inside or not parameter.is_floating_point():
                continue
            others[_name_dtype(parameter.dtype)] += parameter.numel()
            if "norm" in type(module).__name__.lower():
                norms[_name_dtype(parameter.dtype)] += parameter.numel()
    # An adapter that is on the model already has linear layers of its own.
    linear = [n for n, m in parts.bare.named_modules() if isinstance(m, nn.Linear) and ".lora_" not in n]
    kept = [name for name in linear if name not in layers]
    head: Any = parts.bare.get_output_embeddings()
    return Quantised(
        parts=dict(Counter(map(parts.anatomy.part_of, layers))),
        kept=dict(Counter(map(parts.anatomy.part_of, kept))),
        formats=tuple(sorted({_name_format(module) for module in layers.values()})),
        compute_dtypes=tuple(sorted({_find_compute_dtype(module) for module in layers.values()} - {""})),
        head=next((name for name, module in layers.items() if module is head), ""),
        unpacked=tuple(name for name, module in layers.items() if not is_packed(module.weight)),
        unheeded=dict(_list_unheeded(parts.bare, layers)),
        tower=_find_common([name for name in layers if parts.anatomy.part_of(name) == "vision"]),
        output=next((name for name, module in parts.bare.named_modules() if head is not None and module is head), ""),
        other_dtypes=dict(others),
        norm_dtypes=dict(norms),
    )


def _find_common(names: Sequence[str]) -> str:
    """The innermost module that holds all of these."""
    steps = [name.split(".")[:-1] for name in names]
    same = itertools.takewhile(lambda level: len(set(level)) == 1, zip(*steps, strict=False))
    return ".".join(level[0] for level in same)


def _list_unheeded(model: Any, layers: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The entries of `llm_int8_skip_modules` that are a step in a packed layer's name, and that name up to there: releases
    match them differently."""
    settings: Any = getattr(getattr(model, "config", None), "quantization_config", None)
    described = settings.to_dict() if hasattr(settings, "to_dict") else settings
    skipped = described.get("llm_int8_skip_modules") if isinstance(described, Mapping) else None
    for entry in skipped or ():
        for name in layers:
            before, found, _ = f".{name}.".partition(f".{entry}.")
            if found:
                yield str(entry), f"{before}.{entry}".lstrip(".")
                break


def _name_dtype(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")


def _name_format(module: Any) -> str:
    return str(getattr(module.weight, "quant_type", "") or "4 bits") if hasattr(module, "compute_dtype") else "int8"


def _find_compute_dtype(module: Any) -> str:
    """ "" for 8 bits, and for a layer that takes the dtype of what it is given."""
    dtype = getattr(module, "compute_dtype", None)
    return "" if dtype is None else _name_dtype(dtype)


def find_merges(config: Config) -> tuple[Site, ...] | Unknown:
    """The lines of the user's own parts that merge an adapter into the weights below it."""
    found: list[Site] = []
    for part in PARTS:
        spec: str | None = getattr(config.subject, part)
        sources = read_part(config, spec) if spec else ()
        if isinstance(sources, Unknown):
            return sources
        for source in sources:
            for node, _ in source.nodes:
                called = node.func if isinstance(node, ast.Call) else None
                if isinstance(called, ast.Attribute) and called.attr in MERGING:
                    found.append(source.site(node, kind="merge"))
    return tuple(dict.fromkeys(found))
