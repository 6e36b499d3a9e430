"""A training step of the full-size model, rehearsed without its weights: what it holds at its peak, and what would help.

Runs in a child, after trust. The model is built on the meta device from its configuration, the configured adapter is
attached, our rows' worst becomes a batch through the collator in use, and the step is followed operation by operation.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import nn

from preflight_ocr.harness.config import compat
from preflight_ocr.harness.config.schema import Config
from preflight_ocr.harness.facts import MemoryForecast, Peak, Raised, RehearsedStep, Share, Unknown
from preflight_ocr.harness.families.anatomy import find_embeddings, unwrap
from preflight_ocr.harness.memory import advice, allocator
from preflight_ocr.harness.memory.fit import CONTEXT, CUBLAS, judge, open_forecast
from preflight_ocr.harness.memory.optimizers import is_known
from preflight_ocr.harness.training.adapter import attach
from preflight_ocr.harness.training.checkpointing import NOT_REENTRANT
from preflight_ocr.harness.training.model import find_dtype
from preflight_ocr.harness.training.quantising import (
    asks_for_quantisation,
    list_quantised,
    measure_packed,
    pack,
    prepare,
)
from preflight_ocr.harness.training.redirects import redirect_cuda
from preflight_ocr.probes.learning.learning import supervise
from preflight_ocr.probes.reading.repository import find_model_directory
from preflight_ocr.probes.rehearsal.step import Rehearsed, list_tensors, rehearse
from preflight_ocr.probes.workbench.assembly import Assembly
from preflight_ocr.probes.workbench.model import FULL_LOAD_BYTES, Built, build, build_empty, weigh
from preflight_ocr.probes.workbench.rescue import load
from preflight_ocr.probes.workbench.tracing import attempt

PREPARED_ROWS = 24
"""As many rows are prepared to find the worst: the longest texts and the largest and longest pages of all."""
_FLASH = "flash_attention_2"


def observe(config_path: str, trust: bool, folder: str) -> dict[str, Any]:
    """Run in a child: a MemoryForecast as builtins."""
    with redirect_cuda():
        parts = Whole(config_path, trust=trust, folder=Path(folder))
        answer: dict[str, Any] = msgspec.to_builtins(foresee(parts))
        return answer


class Whole(Assembly):
    """An assembly whose model has its full size: as it is where it is small, else without weights."""

    @cached_property
    def _loaded(self) -> tuple[Built, Raised | None]:
        directory = find_model_directory(self.config)
        weights = 0 if isinstance(directory, Unknown) else weigh(directory)
        return load(self.config, self.directory, make=build if 0 < weights <= FULL_LOAD_BYTES else build_whole)

    def changed(self, config: Config) -> Whole:
        """The same project with another configuration; the model stays where nothing that concerns it was changed."""
        other = copy.copy(self)
        kept = {"_loaded", "rows", "directory", "processor", "tokenizer", "family", "forward_names"}
        if _concerns_model(config) != _concerns_model(self.config):
            kept -= {"_loaded"}
        other.__dict__ = {k: v for k, v in self.__dict__.items() if k in kept or k in ("ids_below",)}
        other.config = config
        return other


def _concerns_model(config: Config) -> tuple[Any, ...]:
    return (config.model, config.lora)  # an adapter is put into the model, so another one needs the model anew


def build_whole(config: Config) -> Built:
    """The model without weights, in the dtype it will be loaded in. Flash attention, which cannot be here, is stood in for
    by torch's own, which a card runs as the same kernel."""
    model, model_config = _build_with_attention(config)
    asked = find_dtype(config.model.torch_dtype)
    dtype = asked if isinstance(asked, torch.dtype) else _find_own_dtype(model_config, asked)
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None and parameter.is_floating_point() and parameter.dtype != dtype:
                module._parameters[name] = nn.Parameter(parameter.to(dtype), requires_grad=parameter.requires_grad)
    pack(model, config)
    if hasattr(model, "tie_weights"):
        model.tie_weights()
    if asks_for_quantisation(config.model.quantization):
        prepare(model)
    return Built(model=model.eval(), weights="none")


def _find_own_dtype(model_config: Any, asked: object) -> torch.dtype:
    """The dtype that the files name, where that is what loading goes by; else float32."""
    import transformers

    if asked != "auto" and not compat.loads_in_own_dtype(transformers.__version__):
        return torch.float32
    named = getattr(model_config, "dtype", None) or getattr(model_config, "torch_dtype", None)
    found = find_dtype(named) if isinstance(named, str) else named
    return found if isinstance(found, torch.dtype) else torch.float32


def _build_with_attention(config: Config) -> tuple[Any, Any]:
    try:
        return build_empty(config)
    except (ImportError, ValueError) as error:
        if "flash" not in str(error).lower():
            raise
    asked = config.model.attn_implementation
    for name in ("sdpa", "eager"):
        instead = advice.change(config, {"model.attn_implementation": name if asked == _FLASH else asked})
        try:
            return build_empty(instead, flash_instead=name)
        except (ImportError, ValueError):
            continue
    return build_empty(config)


def foresee(parts: Whole) -> MemoryForecast:
    """Everything that can be told of this project; what cannot is in `unknown`, with its reason."""
    config = parts.config
    answer = open_forecast(source=config.model.base_model, method="", budget_gb=config.budget.vram_gb)
    model = attempt(lambda: parts.bare)
    if isinstance(model, Raised):
        return _without(answer, f"the model cannot be built: {model.type}: {model.message}")
    shares = tuple(weigh_parts(parts))
    answer = msgspec.structs.replace(
        answer,
        method=_tell_method(parts),
        weights=shares,
        weight_bytes=sum(share.bytes for share in shares),
        assumptions=tuple(_list_liberties(parts)),
    )
    stage = Stage(parts)
    if config.subject.peft is not None or any(key.startswith("lora.") for key in config.given):
        adapted = attempt(lambda: stage.adapt(parts))
        if isinstance(adapted, Raised):
            return _without(answer, f"the adapter cannot be attached: {adapted.type}: {adapted.message}")
        trained = [p for p in adapted.parameters() if p.requires_grad]
        answer = msgspec.structs.replace(
            answer,
            trained_parameters=sum(p.numel() for p in trained),
            trained_bytes=sum(p.numel() * p.element_size() for p in trained),
        )
    if config.data.train_path is None:
        return _without(answer, "no data.train_path: what a step keeps depends on your rows; give a YAML file")
    peak = attempt(lambda: stage.measure(config))
    if isinstance(peak, Raised):
        return _without(answer, f"the step cannot be rehearsed: {peak.type}: {peak.message}")
    answer = msgspec.structs.replace(
        answer, step=stage.describe(), peak=peak, assumptions=(*answer.assumptions, *sorted(stage.assumed))
    )
    if answer.budget is not None and peak.needed > answer.budget:
        answer = _add_advice(answer, stage, peak, answer.budget)
    return judge(answer)


def _add_advice(answer: MemoryForecast, stage: Stage, peak: Peak, budget: int) -> MemoryForecast:
    config = stage.parts.config
    main = max(answer.weights, key=lambda share: share.bytes).dtype
    levers = tuple(
        advice.list_levers(config, optim=find_optim(config), weights_dtype=main, page_pixels=stage.page_pixels)
    )

    seen: list[tuple[Config, Peak | None]] = [(config, peak)]

    def measure(changed: Config) -> Peak | None:
        for known, result in seen:
            if known == changed:
                return result
        found = attempt(lambda: stage.measure(changed))
        seen.append((changed, None if isinstance(found, Raised) else found))
        return seen[-1][1]

    changes, together = advice.advise(config, peak, budget, levers, measure)
    return msgspec.structs.replace(answer, changes=changes, together=together)


def _without(answer: MemoryForecast, reason: str) -> MemoryForecast:
    return judge(msgspec.structs.replace(answer, unknown=(*answer.unknown, reason)))


def _tell_method(parts: Whole) -> str:
    built = "loaded as it is" if parts.built.weights == "real" else "built from its configuration without weights"
    count = sum(share.parameters for share in weigh_parts(parts))
    return f"the whole model ({count:,} parameters), {built}; one step followed operation by operation on shapes alone"


def _list_liberties(parts: Whole) -> Iterator[str]:
    if parts.loading is not None:
        yield f"built otherwise than configured, which raised {parts.loading.type}: {parts.loading.message[:200]}"
    if parts.config.subject.model is not None and parts.built.weights == "none":
        yield "your own loader was not run: what it changes in the model is not in these figures"
    if parts.config.training.optim and not is_known(parts.config.training.optim):
        yield f"nothing is known of the optimizer {parts.config.training.optim}; it is counted as AdamW"
    if (parts.config.training.optim or "").startswith("paged_"):
        yield "a paged optimizer moves its states to the host where the card is full; they are counted as on the card"
    if list_quantised(parts.bare):
        yield "a packed weight is counted as unpacked for the length of each product with it"
    yield "what cuDNN and other kernels take inside one operation is not counted"


def weigh_parts(parts: Assembly) -> Iterator[Share]:
    """The weights of the bare model by part and dtype, the largest first. A tied weight counts once."""
    found: dict[tuple[str, str], list[int]] = {}
    packed = {f"{name}.weight": module for name, module in list_quantised(parts.bare).items()}
    for name, parameter in parts.bare.named_parameters():
        part, dtype = parts.anatomy.part_of(name), str(parameter.dtype).removeprefix("torch.")
        numbers, size = parameter.numel(), parameter.numel() * parameter.element_size()
        if name in packed:
            dtype = str(getattr(parameter, "quant_type", "int8"))
            numbers, size = measure_packed(packed[name])
        row = found.setdefault((part, dtype), [0, 0])
        row[0] += numbers
        row[1] += size
    for (part, dtype), (count, size) in sorted(found.items(), key=lambda item: -item[1][1]):
        yield Share(part=part, dtype=dtype, parameters=count, bytes=size)


class Stage:
    """Steps of one project under changing configurations; what a change leaves alone is not made again."""

    def __init__(self, parts: Whole) -> None:
        self.parts = parts
        self.assumed: set[str] = set()
        self.page_pixels: int | None = None
        self._adapted: list[tuple[tuple[Any, ...], Any]] = []
        self._worst: Mapping[str, Any] = {}
        self._looked = 0
        self._longest = 0

    def adapt(self, parts: Whole) -> Any:
        """The model with its adapter; without memory where the model has none. Raises what the adapter step raises."""
        key = _concerns_model(parts.config)
        known = next((adapted for seen, adapted in self._adapted if seen == key), None)
        if known is not None:
            return known
        if parts.built.weights == "none":
            with torch.device("meta"):
                adapted = attach(parts.model, parts.config)
        else:
            adapted = attach(parts.model, parts.config)
        self._adapted = [*self._adapted[:1], (key, adapted)]  # the project's own, and the last that was asked for
        return adapted

    def measure(self, config: Config) -> Peak:
        """What a step needs with this configuration. Raises what building, collating or forward raises."""
        parts = self.parts if config is self.parts.config else self.parts.changed(config)
        adapted = self.adapt(parts)
        batch = self._collate(parts)
        training = config.training
        step = Rehearsed(
            optim=find_optim(config),
            accumulation=training.gradient_accumulation_steps,
            autocast=torch.bfloat16 if training.bf16 else torch.float16 if training.fp16 else None,
            checkpointing=_find_checkpointing(config),
        )
        lifetimes = rehearse(adapted, batch, step, vocabulary=find_vocabulary(unwrap(adapted)[0]))
        self.assumed |= lifetimes.assumed
        taken = allocator.measure(lifetimes.events)
        return Peak(
            parts={kind: size for kind, size in lifetimes.at_peak.items() if size},
            phase=lifetimes.peak_in,
            phases={
                name: size for name, size in lifetimes.peaks.items() if name in ("forward", "backward", "optimizer")
            },
            requested=lifetimes.peak,
            allocated=taken.allocated,
            reserved=taken.reserved,
            segments=allocator.find_smallest_limit(lifetimes.events, steps=6),
            libraries=CUBLAS,
            context=CONTEXT,
        )

    def describe(self) -> RehearsedStep:
        """The step of the project as it is configured."""
        config = self.parts.config
        training = config.training
        bare = self.parts.bare
        return RehearsedStep(
            batch_size=training.per_device_train_batch_size,
            accumulation=training.gradient_accumulation_steps,
            optim=find_optim(config),
            precision="bf16 autocast" if training.bf16 else "fp16 autocast" if training.fp16 else "no autocast",
            checkpointing=training.gradient_checkpointing,
            attention=str(getattr(getattr(bare, "config", None), "_attn_implementation", None) or "the model's own"),
            longest_row=self._longest,
            worst_row=str(self._worst.get("image_path") or str(self._worst.get("text", ""))[:40]),
            looked_at=self._looked,
            rows=len(self.parts.rows),
        )

    def _collate(self, parts: Whole) -> dict[str, Any]:
        """The batch of the worst row, as often as the batch has rows."""
        collate = attempt(lambda: parts.collate)
        chosen = parts.reference if isinstance(collate, Raised) else collate
        if chosen is None:
            raise ValueError("there is no collator: no family declares this model and subject.collator names none")
        if not self._worst:
            self._find_worst(parts, chosen)
        rows = [self._worst] * parts.config.training.per_device_train_batch_size
        return supervise(parts.seeded(chosen, rows))

    def _find_worst(self, parts: Whole, collate: Any) -> None:
        best: tuple[int, int] = (-1, -1)
        for row in choose_candidates(parts.rows):
            batch = attempt(lambda row=row: parts.seeded(collate, [row]))  # type: ignore[misc]
            if isinstance(batch, Raised):
                continue  # a row that cannot be prepared is reported by the check
            self._looked += 1
            length = _count_tokens(batch)
            size = (length, sum(t.untyped_storage().nbytes() for t in list_tensors(batch)))
            if size > best:
                best, self._worst, self._longest = size, row, length
                self.page_pixels = _measure_page(row)
        if not self._worst:
            raise ValueError("no row could be made into a batch; run `preflight check` to see why")


def _count_tokens(batch: Mapping[str, Any]) -> int:
    """The longest sequence of a batch: ids, or the labels of a decoder of its own."""
    named = [batch.get(name) for name in ("input_ids", "labels")]
    return max((t.shape[-1] for t in named if isinstance(t, torch.Tensor) and t.dim() > 1), default=0)


def choose_candidates(rows: Sequence[Mapping[str, Any]], count: int = PREPARED_ROWS) -> list[Mapping[str, Any]]:
    """The rows among which the worst must be, if length grows with the text and with the page: the longest texts, the
    largest pages, and the most elongated ones, which are cut into the most tiles."""
    if len(rows) <= count:
        return list(rows)
    sizes = [_measure_sides(row) for row in rows]
    order = range(len(rows))
    third = count // 3
    chosen = {
        *sorted(order, key=lambda i: -len(str(rows[i].get("text", ""))))[:third],
        *sorted(order, key=lambda i: -sizes[i][0] * sizes[i][1])[:third],
        *sorted(order, key=lambda i: -max(sizes[i]) / max(min(sizes[i]), 1))[:third],
    }
    return [rows[i] for i in sorted(chosen)]


def _measure_sides(row: Mapping[str, Any]) -> tuple[int, int]:
    from PIL import Image

    try:
        with Image.open(row["image_path"]) as image:
            return image.size
    except (KeyError, OSError, SyntaxError, TypeError, AttributeError, Image.DecompressionBombError):
        return (0, 0)


def _measure_page(row: Mapping[str, Any]) -> int | None:
    width, height = _measure_sides(row)
    return width * height or None


def find_vocabulary(model: nn.Module) -> int | None:
    """How many logits a token has, where the model's embeddings tell."""
    found = attempt(lambda: int(find_embeddings(model).weight.shape[0]))
    return None if isinstance(found, Raised) else found


def find_optim(config: Config) -> str:
    """The optimizer's name; Trainer's own choice where the file makes none."""
    from transformers import TrainingArguments

    chosen = config.training.optim or getattr(TrainingArguments, "default_optim", "adamw_torch")
    return str(getattr(chosen, "value", chosen))


def _find_checkpointing(config: Config) -> Mapping[str, Any] | None:
    if not config.training.gradient_checkpointing:
        return None
    return config.training.gradient_checkpointing_kwargs or NOT_REENTRANT
