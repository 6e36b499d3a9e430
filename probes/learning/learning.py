"""Does anything learn: gradients by part, two optimizer steps, a batch repeated, the adapter saved and loaded again."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import torch
from torch import nn

from preflight_ocr.harness.facts import Adapter, Census, Learning, Raised, Recital, RoundTrip, Unknown, blank
from preflight_ocr.harness.families.anatomy import unwrap
from preflight_ocr.harness.training.checkpointing import start_checkpointing, stop_checkpointing
from preflight_ocr.harness.training.quantising import list_quantised
from preflight_ocr.harness.training.redirects import redirect_cuda
from preflight_ocr.probes.learning.adapter import attach_plain, look_at_adapter, name_kind
from preflight_ocr.probes.learning.growth import look_at_growth
from preflight_ocr.probes.learning.quantised import look_at_quantised
from preflight_ocr.probes.learning.recipe import look_at_recipe
from preflight_ocr.probes.learning.recital import MORE, recite, write
from preflight_ocr.probes.learning.saved import find_alike_rows, find_unsaved
from preflight_ocr.probes.learning.trainer import measure_accumulation
from preflight_ocr.probes.learning.uneven import look_at_uneven
from preflight_ocr.probes.workbench.assembly import Assembly, is_long
from preflight_ocr.probes.workbench.batches import IGNORED
from preflight_ocr.probes.workbench.brought import open_parts
from preflight_ocr.probes.workbench.calls import read_logits, read_loss
from preflight_ocr.probes.workbench.half import speed_up_half
from preflight_ocr.probes.workbench.landing import trace_landing
from preflight_ocr.probes.workbench.memory import give_freed_memory_back, keep_freed_memory
from preflight_ocr.probes.workbench.repair import make_runnable, repair
from preflight_ocr.probes.workbench.towers import keep_towers
from preflight_ocr.probes.workbench.tracing import attempt

BESIDE = ("vision", "projector")
STEPS = 8
RATE = 5e-3  # high enough for a repeated batch to be learnt in STEPS steps, by any LoRA that is in the graph
TOLERANCE = 1e-3


def observe(config_path: str, trust: bool, folder: str) -> dict[str, object]:
    """Run in a child: Adapter and Learning as builtins. The saved adapter is left in `folder` for `reload`."""
    return observe_parts(open_parts(config_path, trust=trust, folder=Path(folder), adapted=True), Path(folder))


def observe_parts(
    parts: Assembly, folder: Path, beside: Callable[[Any], None] = lambda adapted: None
) -> dict[str, object]:
    """The same of parts that are there. `beside` is shown the adapted model as it was before its steps."""
    keep_freed_memory()
    with (
        redirect_cuda(),
        speed_up_half(parts.bare, parts.config.training),
        keep_towers(parts.bare, parts.anatomy),
    ):
        found = look_at_learning(parts, folder, beside)
    return {name: msgspec.to_builtins(fact) for name, fact in found.items()}


def look_at_learning(
    parts: Assembly, folder: Path, beside: Callable[[Any], None] = lambda adapted: None
) -> dict[str, Any]:
    """Everything that needs the adapter. Uses the reference batch: what the user's batch lacks is told elsewhere."""
    packed = look_at_quantised(parts)  # first: a layer that cannot run is replaced, so that the rest can be looked at
    batch = _choose_batch(parts)
    if parts.built.cut and is_long(batch):
        give_freed_memory_back()
    adapter, adapted = look_at_adapter(parts, batch, packed)
    if adapted is None:
        assert adapter.raised is not None
        reason = Unknown(reason=f"the adapter step raised {adapter.raised.type}: {adapter.raised.message}")
        learning = _look_without_adapter(parts, batch, adapter, reason)
        return {"adapter": adapter, "learning": learning}
    inner = unwrap(adapted)[0]
    step, training = _find_step(adapted, inner, adapter, batch)
    while step is None and make_runnable(parts, batch):
        batch = _choose_batch(parts)
        step, _ = _find_step(adapted, inner, adapter, batch)
    if step is None:
        reason = Unknown(reason=f"a training step raised {training.type}: {training.message}")  # type: ignore[union-attr]
        return {"adapter": adapter, "learning": blank(Learning, reason, training=training)}
    with _note_severed(parts, inner) as severed:
        census, reached = _count_gradients(parts, inner, step, checkpointing=False)
    before = {n: p.detach().clone() for n, p in inner.named_parameters() if p.requires_grad}
    checkpointed = _try_checkpointing(parts, inner, step, reached)
    losses: Any = attempt(lambda: _repeat(adapted, step))
    if isinstance(losses, Raised):
        training, losses = losses, Unknown(reason=losses.message)
    moved = {n for n, p in inner.named_parameters() if n in before and not torch.equal(before[n], p)}
    census = tuple(msgspec.structs.replace(c, moved=_count_moved(parts, inner, c.part, moved)) for c in census)
    extra = checkpointed if isinstance(checkpointed, tuple) else ()
    mixed = _try_mixed_precision(parts, adapted, step)
    recital = _recite(parts, adapted, inner)
    round_trip_ready = _save(adapted, batch, folder, recital)
    unsaved = (
        find_unsaved(inner, moved, folder) if round_trip_ready is None else Unknown(reason=round_trip_ready.message)
    )
    alike = attempt(lambda: find_alike_rows(parts, inner))
    with _set_back(inner, before):  # the repeated steps may have driven half-precision weights to infinity
        accumulation = measure_accumulation(parts, adapted if training == "ok" else inner)
        adapted.train()
        recipe = look_at_recipe(parts.config, inner, step, batch)
        growth = look_at_growth(parts, adapted, step)
        uneven = look_at_uneven(parts, inner, step.target, batch)
        if training == "ok":
            beside(adapted)
    learning = Learning(
        training=training,
        census=(*census, *extra),
        severed=tuple(severed),
        losses=losses,
        checkpointing="ok" if isinstance(checkpointed, tuple) else checkpointed,
        mixed_precision=mixed,
        round_trip=Unknown(reason="the saved adapter was not loaded again", cause="awaits another process")
        if round_trip_ready is None
        else Unknown(reason=f"the adapter could not be saved: {round_trip_ready.type}: {round_trip_ready.message}"),
        accumulation_ratio=accumulation,
        unsaved=unsaved,
        recital=recital,
        recipe=recipe,
        growth=growth,
        uneven=uneven,
        alike_rows=Unknown(reason=alike.message) if isinstance(alike, Raised) else alike,
    )
    merged = _merge(adapted, batch)
    learning = msgspec.structs.replace(learning, merged_equals_unmerged=merged.same, merge_loss=merged.loss)
    return {"adapter": adapter, "learning": learning}


def _look_without_adapter(
    parts: Assembly, batch: Mapping[str, Any], adapter: Adapter, reason: Unknown
) -> Learning | Unknown:
    """What depends on the model and the Trainer only, with a plain adapter in place of the one that was refused."""
    plain = attempt(lambda: attach_plain(parts))
    if isinstance(plain, Raised) or adapter.raised is None:
        return reason
    inner = unwrap(plain)[0]
    step, _ = _find_step(plain, inner, adapter, batch)
    if step is None:
        return reason
    _, reached = _count_gradients(parts, inner, step, checkpointing=False)
    checkpointed = _try_checkpointing(parts, inner, step, reached)
    return blank(
        Learning,
        reason,
        training=adapter.raised,
        checkpointing="ok" if isinstance(checkpointed, tuple) else checkpointed,
        mixed_precision=_try_mixed_precision(parts, plain, step),
        accumulation_ratio=measure_accumulation(parts, plain),
    )


def _choose_batch(parts: Assembly) -> dict[str, Any]:
    """The sampled rows; of a model that had to be cut one of them. Rows as long as a written page give their first words,
    and where they are still long there is one of them: some twenty steps follow, attention costs the square of the length,
    and what is asked depends neither on how long rows are nor on how many. Whole rows, and what they do to each other, are
    for the forward child."""
    rows = parts.sample[:1] if parts.built.cut else parts.sample
    if parts.reference is not None:
        batch = dict(parts.seeded(parts.reference, rows))
        if is_long(batch):
            rows = tuple(dict(row) for row in parts.shorten_rows(rows))
            batch = dict(parts.seeded(parts.reference, rows))
        if len(rows) > 1 and is_long(batch):
            batch = dict(parts.seeded(parts.reference, rows[:1]))
        return batch
    start = parts.seeded(parts.collate, rows)
    batch, _, seen = repair(parts, start, None)
    while isinstance(seen, Raised) and make_runnable(parts, start):
        batch, _, seen = repair(parts, parts.seeded(parts.collate, rows), None)
    if isinstance(seen, Raised):
        raise ValueError(f"forward raised {seen.type}: {seen.message}")
    return supervise(batch)


def supervise(batch: Mapping[str, Any]) -> dict[str, Any]:
    """The batch, and where none of its labels is trained on, with every real token as its own label: whether an adapter
    learns is another question than what it is asked to learn."""
    ids, labels = batch.get("input_ids"), batch.get("labels")
    if (isinstance(labels, torch.Tensor) and bool((labels != IGNORED).any())) or not isinstance(ids, torch.Tensor):
        return dict(batch)
    mask = batch.get("attention_mask")
    real = mask.bool() if isinstance(mask, torch.Tensor) and mask.shape == ids.shape else torch.ones_like(ids).bool()
    return {**batch, "labels": ids.where(real, IGNORED)}


@dataclass(frozen=True)
class Step:
    """One training step up to its loss: `target` called with `batch`."""

    target: Any
    batch: Mapping[str, Any]

    def __call__(self) -> torch.Tensor:
        """The loss. Raises TypeError where forward returns none."""
        loss = read_loss(self.target(**self.batch))
        if not isinstance(loss, torch.Tensor):
            raise TypeError(f"forward returned no loss tensor but {type(loss).__name__}")
        return loss


def _find_step(
    adapted: Any, inner: nn.Module, adapter: Adapter, batch: Mapping[str, Any]
) -> tuple[Step | None, Raised | Literal["ok"]]:
    """What gives the loss in training mode, and what the user's own way of calling raised, if it did.

    Where the task wrapper or the user's wrapper is what raises, the step goes to what lies inside it, so that the rest
    can still be looked at.
    """
    adapted.train()
    first: Raised | Literal["ok"] = "ok"
    for target in dict.fromkeys((adapted, getattr(adapted, "base_model", adapted), inner)):
        step = Step(target, batch)
        ended = attempt(partial(_run_backward, step))
        adapted.zero_grad(set_to_none=True)
        if not isinstance(ended, Raised):
            return step, first
        first = ended if first == "ok" else first
    return None, first


def _run_backward(step: Callable[[], torch.Tensor]) -> None:
    step().backward()  # type: ignore[no-untyped-call]


def list_adapters(inner: nn.Module) -> dict[str, nn.Module]:
    """Every module that carries an adapter, by the name its base has in the bare model."""
    return {name: module for name, module in inner.named_modules() if hasattr(module, "lora_A") and len(module.lora_A)}


def _adapter_parameters(module: nn.Module) -> list[nn.Parameter]:
    return [p for n, p in module.named_parameters() if "lora_" in n and ".base_layer." not in f".{n}"]


def _count_gradients(
    parts: Assembly, inner: nn.Module, step: Any, *, checkpointing: bool, reached: set[str] | None = None
) -> tuple[tuple[Census, ...], set[str]]:
    """One backward: adapters with a gradient that is not zero, by part; and the experts that tokens were routed to."""
    inner.zero_grad(set_to_none=True)
    with trace_landing(inner, parts.anatomy) as trace, _note_calls(inner, parts) as called:
        step().backward()
    reached = trace.reached_experts if reached is None else reached
    counts: dict[str, list[int]] = {}
    idle: dict[str, dict[str, int]] = {}
    for name, module in list_adapters(inner).items():
        part = parts.anatomy.part_of(name)
        row = counts.setdefault(part, [0, 0, 0])
        row[0] += 1
        has = any(p.grad is not None and bool(p.grad.any()) for p in _adapter_parameters(module))
        unreached = not has and (_is_unreached_expert(name, reached) or _is_passed_by(name, called, parts))
        row[1] += has
        row[2] += unreached
        if not (has or unreached):
            kinds = idle.setdefault(part, {})
            kinds[name_kind(name)] = kinds.get(name_kind(name), 0) + 1
    inner.zero_grad(set_to_none=True)
    return tuple(
        Census(
            part=part,
            checkpointing=checkpointing,
            adapters=n,
            with_gradient=g,
            unreached=u,
            moved=0,
            idle=idle.get(part, {}),
        )
        for part, (n, g, u) in sorted(counts.items())
    ), reached


@contextmanager
def _note_calls(inner: nn.Module, parts: Assembly) -> Iterator[set[str]]:
    """The names of the modules beside the language model that are called in the block. Nobody asks for them where none of
    these carries an adapter."""
    called: set[str] = set()
    asked = any(parts.anatomy.part_of(name) in BESIDE for name in list_adapters(inner))
    hooks = [
        module.register_forward_pre_hook(lambda module, given, name=name: called.add(name))
        for name, module in inner.named_modules()
        if asked and parts.anatomy.part_of(name) in BESIDE
    ]
    try:
        yield called
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def _note_severed(parts: Assembly, inner: nn.Module) -> Iterator[list[str]]:
    """The decoder blocks called meanwhile whose result carries no gradient, although what they were given or what they train
    does. A block that runs without gradients to be run again with them is none."""
    severed: list[str] = []
    blocks = [] if parts.anatomy.layers is None else list(inner.get_submodule(parts.anatomy.layers).named_children())

    def note(name: str, block: nn.Module, given: Iterable[Any], made: Any) -> None:
        if not torch.is_grad_enabled():
            return
        results = (made,) if isinstance(made, torch.Tensor) else made if isinstance(made, tuple | list) else ()
        leaving = next((one for one in results if isinstance(one, torch.Tensor)), None)
        enters = any(isinstance(value, torch.Tensor) and value.requires_grad for value in given)
        trains = any(p.requires_grad for n, p in block.named_parameters() if "experts" not in n.split("."))
        if leaving is not None and (enters or trains) and not leaving.requires_grad:
            severed.append(f"{parts.anatomy.layers}.{name}")

    hooks = [
        block.register_forward_hook(
            lambda block, given, named, made, name=name: note(name, block, (*given, *named.values()), made),
            with_kwargs=True,
        )
        for name, block in blocks
    ]
    try:
        yield severed
    finally:
        for hook in hooks:
            hook.remove()


def _is_passed_by(name: str, called: set[str], parts: Assembly) -> bool:
    """Whether this module lies in a vision part that ran and did not call it, as its configuration has it."""
    steps = name.split(".")
    around = [".".join(steps[:end]) for end in range(1, len(steps))]
    return parts.anatomy.part_of(name) in BESIDE and name not in called and any(one in called for one in around)


def _is_unreached_expert(name: str, reached: set[str]) -> bool:
    steps = name.split(".")
    if "experts" not in steps:
        return False
    at = steps.index("experts") + 2
    return ".".join(steps[:at]) not in reached


def _count_moved(parts: Assembly, inner: nn.Module, part: str, moved: set[str]) -> int:
    prefixes = [name + "." for name in list_adapters(inner) if parts.anatomy.part_of(name) == part]
    return sum(any(m.startswith(prefix) for m in moved) for prefix in prefixes)


def _try_checkpointing(parts: Assembly, inner: Any, step: Any, reached: set[str]) -> Any:
    """The census with gradient checkpointing on, as the run will switch it on: our own way, or Trainer's for a user's
    trainer. Where the YAML does not ask for it, our own way."""
    if not hasattr(inner, "gradient_checkpointing_enable"):
        return Unknown(reason="the model has no gradient_checkpointing_enable")
    training = parts.config.training
    settings = training.gradient_checkpointing_kwargs if training.gradient_checkpointing else None

    def count() -> tuple[Census, ...]:
        if training.gradient_checkpointing and parts.has_own_trainer:
            inner.gradient_checkpointing_enable(gradient_checkpointing_kwargs=settings)
        else:
            start_checkpointing(inner, settings)
        return _count_gradients(parts, inner, step, checkpointing=True, reached=reached)[0]

    counted = attempt(count)
    stop_checkpointing(inner)
    inner.zero_grad(set_to_none=True)
    return counted


def _repeat(adapted: Any, step: Any) -> tuple[float, ...]:
    """The losses of one batch repeated STEPS times with AdamW."""
    weights = [p for p in adapted.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=RATE)
    losses: list[float] = []
    for _ in range(STEPS):
        loss = step()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        value = float(loss.detach())
        if not math.isfinite(value):
            raise FloatingPointError(f"the loss is {value} at step {len(losses) + 1} of one batch repeated")
        losses.append(round(value, 5))
    return tuple(losses)


@contextmanager
def _set_back(inner: nn.Module, before: Mapping[str, torch.Tensor]) -> Iterator[None]:
    """The trained weights as they were `before`, inside the block."""
    trained = {name: p.detach().clone() for name, p in inner.named_parameters() if name in before}
    _fill(inner, before)
    yield
    _fill(inner, trained)


def _fill(inner: nn.Module, values: Mapping[str, torch.Tensor]) -> None:
    for name, parameter in inner.named_parameters():
        if name in values:
            parameter.data.copy_(values[name])


def _try_mixed_precision(parts: Assembly, adapted: Any, step: Any) -> Any:
    """One step as fp16/bf16 ask for it: autocast, and for fp16 a gradient scaler. Only the exception matters here."""
    training = parts.config.training
    if not (training.fp16 or training.bf16):
        return Unknown(reason="neither fp16 nor bf16 is asked for")
    weights = [p for p in adapted.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(weights, lr=0.0)
    scaler = torch.amp.GradScaler("cpu", enabled=training.fp16)

    def run() -> None:
        with torch.autocast("cpu", dtype=torch.float16 if training.fp16 else torch.bfloat16):
            loss = step()
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)

    ended = attempt(run)
    adapted.zero_grad(set_to_none=True)
    return "ok" if ended is None else ended


def _logits(model: Any, batch: Mapping[str, Any]) -> torch.Tensor:
    model.eval()
    with torch.no_grad():
        logits = read_logits(model(**batch))
    if logits is None:
        raise TypeError("forward returned no logits")
    return logits.float()


def _recite(parts: Assembly, adapted: Any, inner: nn.Module) -> Recital | Unknown:
    """The recital; weights that it drove to infinity are set back."""
    if parts.built.cut:
        return Unknown(reason="the model was cut, and one step of it takes many seconds")
    before = {n: p.detach().clone() for n, p in inner.named_parameters() if p.requires_grad}
    found = recite(parts, adapted, inner)
    adapted.zero_grad(set_to_none=True)
    adapted.eval()
    if not all(bool(p.isfinite().all()) for n, p in inner.named_parameters() if n in before):
        _fill(inner, before)
        return Unknown(reason="learning one row by heart drove the adapter's weights to infinity")
    return found


def _save(adapted: Any, batch: Mapping[str, Any], folder: Path, recital: Recital | Unknown) -> Raised | None:
    """The adapter as PEFT saves it, with the logits it gives and those without it, and the row that it knows by heart."""
    inner = unwrap(adapted)[0]
    packed = bool(list_quantised(inner))

    def write() -> None:
        adapted.save_pretrained(str(folder / "adapter"))
        with_adapter = _logits(inner, batch)
        _require_finite(with_adapter)
        control = _measure_control(inner, batch, with_adapter) if packed else None
        without = _logits_without_adapter(inner, batch)
        known = None if isinstance(recital, Unknown) else (recital.row, len(recital.wanted) + MORE)
        told = {"adapted": with_adapter, "base": without, "recited": known, "control": control}
        torch.save(told, folder / "logits.pt")

    return attempt(write)


def _measure_control(inner: nn.Module, batch: Mapping[str, Any], first: torch.Tensor) -> float:
    """How far one model's own logits lie apart when it is asked again, without gradients and with them.

    Packed weights may be computed with by another kernel each time; what that changes is no fault of saving.
    """
    again = _logits(inner, batch)
    with torch.enable_grad():
        logits = read_logits(inner(**batch))
    assert logits is not None  # there were some the first time
    return max(float((other.detach().float() - first).abs().max()) for other in (again, logits))


def _logits_without_adapter(inner: nn.Module, batch: Mapping[str, Any]) -> torch.Tensor:
    _switch(inner, on=False)
    logits = _logits(inner, batch)
    _switch(inner, on=True)
    return logits


def _switch(inner: nn.Module, *, on: bool) -> None:
    for module in list_adapters(inner).values():
        module.enable_adapters(on)  # type: ignore[operator]


class Merged(NamedTuple):
    """Whether merging left the logits as they were, and the share of the adapter's work on them that it changed."""

    same: bool | Unknown
    loss: float | Unknown


def _merge(adapted: Any, batch: Mapping[str, Any]) -> Merged:
    """Merge the adapter into the weights and compare the logits. Last, because it consumes the adapter."""

    def compare() -> Merged:
        inner = unwrap(adapted)[0]
        packed = bool(list_quantised(inner))
        before = _logits(inner, batch)
        _require_finite(before)
        work = before - _logits_without_adapter(inner, batch)
        moved = float(work.abs().max())
        # Half-precision weights are rounded when the adapter is added to them. That moves the logits by less than the
        # adapter did; an adapter that was lost, or added twice, moves them as far.
        rounding = 0.0 if _adapted_dtype(inner) == torch.float32 else 0.5 * moved
        after = _logits(unwrap(adapted.merge_and_unload())[0], batch)
        lost = float((after - before).norm() / work.norm()) if moved else 0.0
        if packed:
            reason = (
                f"packed weights are rounded again: {lost:.0%} of the adapter's work on the logits is changed by that"
            )
            return Merged(Unknown(reason=reason), lost)
        return Merged(_alike(before, after, rounding), lost)

    same = attempt(compare)
    if isinstance(same, Raised):
        reason = Unknown(reason=f"merging raised {same.type}: {same.message}")
        return Merged(reason, reason)
    return same


def _alike(left: torch.Tensor, right: torch.Tensor, rounding: float = 0.0) -> bool:
    allowed = max(TOLERANCE * max(1.0, float(left.abs().max())), rounding)
    return left.shape == right.shape and float((left - right).abs().max()) <= allowed


def _measure(left: torch.Tensor, right: torch.Tensor) -> float:
    """The largest difference; infinite between different shapes."""
    return float((left - right).abs().max()) if left.shape == right.shape else math.inf


def _require_finite(logits: torch.Tensor) -> None:
    if not bool(logits.isfinite().all()):
        raise ArithmeticError("after the repeated steps the logits are not finite, so comparing them proves nothing")


def _adapted_dtype(inner: nn.Module) -> torch.dtype:
    """The dtype of the weights that adapters sit on; float32 where there is none."""
    bases = (module.base_layer.weight.dtype for module in list_adapters(inner).values())  # type: ignore[union-attr]
    return next(bases, torch.float32)  # type: ignore[return-value]


def reload(config_path: str, trust: bool, folder: str) -> dict[str, object]:
    """Run in a fresh child: the saved adapter on the bare model, as somebody else would load it."""
    return reload_parts(open_parts(config_path, trust=trust, folder=Path(folder)), Path(folder))


def reload_parts(parts: Assembly, folder: Path) -> dict[str, object]:
    """The same of parts that are there, whose model has no adapter any more."""
    from peft import PeftModel, get_peft_model_state_dict
    from safetensors import safe_open

    with redirect_cuda(), speed_up_half(parts.bare, parts.config.training):
        batch = _choose_batch(parts)
        while isinstance(attempt(partial(_logits, parts.bare, batch)), Raised) and make_runnable(parts, batch):
            batch = _choose_batch(parts)
        saved = torch.load(folder / "logits.pt", weights_only=True)
        loaded = PeftModel.from_pretrained(parts.bare, str(folder / "adapter"))
        # The model inside: whether PEFT's task wrapper can call it is told elsewhere.
        logits = _logits(unwrap(loaded)[0], batch)
        control = saved["control"]
        if control is not None:
            control = max(control, _measure_control(unwrap(loaded)[0], batch, logits))
        reread: Any = Unknown(reason="no row was learnt by heart")
        if saved["recited"] is not None:
            row, most = saved["recited"]
            reread = attempt(partial(write, parts, unwrap(loaded)[0], most, row))
    arrived = get_peft_model_state_dict(loaded)
    expected = set(arrived)
    with safe_open(folder / "adapter" / "adapter_model.safetensors", framework="pt") as file:
        written = set(file.keys())
        lost = {
            key for key in written & expected if not torch.equal(file.get_tensor(key).float(), arrived[key].float())
        }
    same, difference = _alike(saved["adapted"], logits), _measure(saved["adapted"], logits)
    if control is not None:
        # Nothing but a kernel may lie between the two, and the control is as far as kernels lie apart.
        own = torch.finfo(torch.float32).eps * float(logits.abs().max())
        same = difference <= 2 * control + own
    facts = RoundTrip(
        same_logits=same,
        difference=difference,
        control=Unknown(reason="no weight is packed, so that there is one kernel") if control is None else control,
        differs_from_base=not torch.equal(saved["base"], logits),
        missing_keys=tuple(sorted(expected - written))[:5],
        unexpected_keys=tuple(sorted(written - expected))[:5],
        reread=Unknown(reason=f"writing raised {reread.type}: {reread.message}")
        if isinstance(reread, Raised)
        else reread,
        lost_keys=tuple(sorted(lost))[:5],
    )
    result: dict[str, object] = msgspec.to_builtins(facts)
    return result
