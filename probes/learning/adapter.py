"""LoRA before a step is made: what it hits, by part, and which keywords PEFT's task wrapper adds to every call."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from preflight_ocr.harness.config.schema import Config
from preflight_ocr.harness.facts import Adapter, Carrier, Quantised, Raised, Site, Target, Unknown, Wrapper
from preflight_ocr.harness.families.anatomy import Anatomy, unwrap
from preflight_ocr.probes.forward.forward import look_at_wrapper
from preflight_ocr.probes.learning.quantised import find_merges
from preflight_ocr.probes.learning.trainer import LOSS_KEYWORD, adds_loss_keyword
from preflight_ocr.probes.reading.subject import read_part
from preflight_ocr.probes.workbench.assembly import Assembly
from preflight_ocr.probes.workbench.calls import Batch, read_signature, record_keywords
from preflight_ocr.probes.workbench.tracing import attempt


def look_at_adapter(parts: Assembly, batch: Batch, quantised: Quantised | Unknown | None = None) -> tuple[Adapter, Any]:
    """The Adapter facts, and the adapted model or None. `quantised` is what was packed before anything was mended."""
    keys = tuple(batch)
    bare, anatomy = parts.bare, parts.anatomy
    names_before = parts.list_carriers()
    accepted = set(parts.forward_names) if not _takes_anything(bare) else None
    # Where PEFT cannot adapt anything at all, the adapter step below says so.
    found: Any = attempt(lambda: tuple(find_fitting_task_types(keys, accepted)))
    fitting: tuple[str, ...] = () if isinstance(found, Raised) else found
    merges = find_merges(parts.config)
    adapted: Any = attempt(parts.adapt)
    if isinstance(adapted, Raised):
        targets = count_targets(parts.config.lora.target_modules, names_before, anatomy)
        task = parts.config.lora.task_type if parts.config.subject.peft is None else None
        added: Any = attempt(lambda: inject(task, keys))
        given = () if isinstance(added, Raised) else added
        return Adapter(
            raised=adapted,
            task_type=task,
            injected=given,
            rejected=tuple(k for k in given if accepted is not None and k not in accepted),
            targets=targets,
            fitting_task_types=fitting,
            carriers=count_carriers(names_before, (), anatomy),
            trainable=0,
            trainable_dtypes=(),
            total=0,
            key_example="",
            inside_wrapper=False,
            on_tied_weights=(),
            loss_keyword=None,
            quantised=quantised,
            merges=merges,
            wrapper=None
            if parts.config.subject.peft is None
            else Unknown(reason=f"the adapter step raised {adapted.type}: {adapted.message}"),
        ), None
    settings = _read_settings(adapted)
    task_type = _spell(getattr(settings, "task_type", None))
    injected = inject(task_type, keys)
    inner, _ = unwrap(adapted)
    return Adapter(
        task_type=task_type,
        injected=injected,
        rejected=tuple(k for k in injected if accepted is not None and k not in accepted),
        fitting_task_types=fitting,
        targets=_name_targets(settings, parts.config, names_before, anatomy),
        trainable=sum(p.numel() for p in _list_trained(adapted)),
        trainable_dtypes=tuple(sorted({str(p.dtype).removeprefix("torch.") for p in _list_trained(adapted)})),
        total=sum(p.numel() for p in adapted.parameters()),
        key_example=next((n for n, _ in adapted.named_parameters() if "lora_" in n), ""),
        inside_wrapper=_wraps_a_wrapper(adapted),
        on_tied_weights=_find_tied(inner),
        loss_keyword=_find_loss_keyword(adapted, inner, batch),
        carriers=count_carriers(names_before, _list_adapted(inner), anatomy),
        raised=None,
        unsaved=_list_unsaved(adapted),
        wrapper=_look_inside(parts, adapted, inner, batch),
        task_type_site=_find_task_type(parts.config),
        quantised=quantised,
        merges=merges,
    ), adapted


def _list_unsaved(adapted: Any) -> tuple[str, ...]:
    """Parameters that will be trained and are not in what PEFT's own `save_pretrained` writes; none for another model."""
    from peft import PeftModel, get_peft_model_state_dict

    if not isinstance(adapted, PeftModel):
        return ()
    saved: Any = attempt(lambda: set(get_peft_model_state_dict(adapted)))
    if isinstance(saved, Raised):
        return ()
    trained = (name for name, parameter in adapted.named_parameters() if parameter.requires_grad)
    own = ("lora_", ".modules_to_save.", ".original_module.")
    return tuple(name for name in trained if name not in saved and not any(mark in name for mark in own))


def _look_inside(parts: Assembly, adapted: Any, inner: nn.Module, batch: Batch) -> Wrapper | None:
    """The wrapper that PEFT was put around, unless it is the one that the loader gave: that one is known already."""
    base = adapted.get_base_model() if hasattr(adapted, "get_base_model") else adapted
    if parts.config.subject.peft is None or base is parts.model or base is inner:
        return None
    return look_at_wrapper(base, inner, batch)


def _find_task_type(config: Config) -> Site | None:
    """The line of the user's adapter step that names a task type by itself, and not from the YAML."""
    sources = read_part(config, config.subject.peft) if config.subject.peft else ()
    for source in () if isinstance(sources, Unknown) else sources:
        for node, _ in source.nodes:
            named = getattr(node, "keywords", ()) if isinstance(node, ast.Call) else ()
            for keyword in named:
                if keyword.arg == "task_type" and isinstance(keyword.value, ast.Constant | ast.Attribute):
                    return source.site(keyword.value, kind="task type")
    return None


def _list_trained(adapted: nn.Module) -> list[nn.Parameter]:
    return [p for p in adapted.parameters() if p.requires_grad]


def _find_loss_keyword(adapted: Any, inner: nn.Module, batch: Batch) -> str | None:
    """The keyword with which Trainer scales the loss, if a wrapper invites it and hands it on to a forward without it.

    Trainer adds it to the calls of a model whose forward takes `**kwargs`, and a wrapper's often does.
    """
    wrapper = adapted.get_base_model() if hasattr(adapted, "get_base_model") else adapted
    if not read_signature(wrapper).accepts_any_keyword or read_signature(inner).accepts(LOSS_KEYWORD):
        return None
    if not adds_loss_keyword(adapted):
        return None
    arrived = record_keywords(inner, lambda: adapted(**batch, **{LOSS_KEYWORD: torch.tensor(1)}))
    return LOSS_KEYWORD if arrived is not None and LOSS_KEYWORD in arrived else None


def attach_plain(parts: Assembly) -> Any:
    """LoRA on the language model's attention, as a stand-in where the configured adapter is refused."""
    from peft import LoraConfig, get_peft_model

    modules = parts.bare.named_modules()
    names = [n for n, m in modules if isinstance(m, nn.Linear) and parts.anatomy.part_of(n) == "attention"]
    return get_peft_model(parts.bare, LoraConfig(target_modules=names))


def _takes_anything(model: nn.Module) -> bool:
    import inspect

    return any(p.kind is p.VAR_KEYWORD for p in inspect.signature(type(model).forward).parameters.values())


def _read_settings(adapted: Any) -> Any:
    """The first adapter's LoraConfig, None where the user's step used something else than PEFT."""
    configs = getattr(adapted, "peft_config", None)
    return next(iter(configs.values()), None) if isinstance(configs, Mapping) else None


def _spell(task_type: Any) -> str | None:
    return None if task_type is None else str(getattr(task_type, "value", task_type))


def _name_targets(
    settings: Any, config: Config, names: Sequence[str], anatomy: Anatomy
) -> tuple[Target, ...] | Unknown:
    if settings is None and config.subject.peft is not None:
        return Unknown(reason="the adapter step returned no PEFT model, so its targets cannot be read")
    asked = getattr(settings, "target_modules", None) or config.lora.target_modules
    # PEFT replaces a regular expression or "all-linear" by the set of names; what the user wrote explains more.
    return count_targets(config.lora.target_modules if config.subject.peft is None else asked, names, anatomy)


def count_targets(asked: Any, names: Sequence[str], anatomy: Anatomy) -> tuple[Target, ...] | Unknown:
    """How many modules each entry of target_modules hits, by part; matched as PEFT matches suffixes and patterns."""
    if asked is None:
        return Unknown(reason="target_modules is not given; PEFT chooses by model type")
    if isinstance(asked, str):
        try:
            re.compile(asked)
        except re.error as error:
            return Unknown(reason=f"target_modules {asked!r} is not a regular expression: {error}")
        return (Target(name=asked, hits=_tally((n for n in names if _matches_pattern(asked, n)), anatomy)),)
    return tuple(
        Target(name=name, hits=_tally((n for n in names if n == name or n.endswith("." + name)), anatomy))
        for name in sorted(asked)
    )


def _matches_pattern(pattern: str, name: str) -> bool:
    return pattern == "all-linear" or re.fullmatch(pattern, name) is not None


def _tally(names: Iterator[str], anatomy: Anatomy) -> dict[str, int]:
    hits: dict[str, int] = {}
    for name in names:
        part = anatomy.part_of(name)
        hits[part] = hits.get(part, 0) + 1
    return hits


def _list_adapted(inner: nn.Module) -> tuple[str, ...]:
    """The names, as in the bare model, of modules with an adapter; PEFT keeps those of embeddings under another name."""
    kept = ("lora_A", "lora_embedding_A")
    return tuple(name for name, module in inner.named_modules() if any(getattr(module, k, None) for k in kept))


def count_carriers(names: Sequence[str], adapted: Sequence[str], anatomy: Anatomy) -> tuple[Carrier, ...]:
    """The modules that can carry an adapter by part and kind, in the order of the model, and how many do."""
    have = set(adapted)
    counts: dict[tuple[str, str], list[int]] = {}
    for name in names:
        count = counts.setdefault((anatomy.part_of(name), name_kind(name)), [0, 0])
        count[0] += 1
        count[1] += name in have
    return tuple(
        Carrier(part=part, name=kind, modules=modules, adapted=with_one)
        for (part, kind), (modules, with_one) in counts.items()
    )


def name_kind(name: str) -> str:
    """A module's name with `*` for every number in it, so that the like modules of all blocks are called alike."""
    return ".".join("*" if step.isdigit() else step for step in name.split("."))


def _wraps_a_wrapper(adapted: Any) -> bool:
    from transformers import PreTrainedModel

    base = adapted.get_base_model() if hasattr(adapted, "get_base_model") else adapted
    return not isinstance(base, PreTrainedModel) and any(isinstance(m, PreTrainedModel) for m in base.modules())


def _find_tied(model: nn.Module) -> tuple[str, ...]:
    """Adapted modules whose weight is another module's too."""
    owners: dict[int, list[str]] = {}
    for name, module in model.named_modules():
        weight = getattr(module, "weight", None)
        if isinstance(weight, nn.Parameter) and not hasattr(module, "base_layer"):
            owners.setdefault(id(weight), []).append(name)
    shared = {name for names in owners.values() if len(names) > 1 for name in names}
    return tuple(sorted(n for n in shared if n.endswith(".base_layer")))


# What PEFT's wrappers pass on by themselves; every Hugging Face forward knows these.
EVERY_WRAPPER = {"output_attentions", "output_hidden_states", "return_dict", "inputs_embeds"}


class _Stub(nn.Module):
    """A stand-in for the model: notes the keywords that a task wrapper hands to it."""

    def __init__(self) -> None:
        from transformers import PretrainedConfig

        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.config = PretrainedConfig()  # some wrappers ask it whether outputs are to be tuples
        self.config.hidden_size = 2
        self.arrived: set[str] = set()

    def forward(self, **given: Any) -> Any:
        self.arrived = set(given)
        raise _Arrived

    def _prepare_encoder_decoder_kwargs_for_generation(self) -> None:
        """PEFT's sequence-to-sequence wrapper keeps a reference to this one."""

    def prepare_inputs_for_generation(self, input_ids: Any, **given: Any) -> Any:
        return {"input_ids": input_ids, **given}


class _Arrived(Exception):
    """Ends a call as soon as its keywords are known."""


def inject(task_type: str | None, keys: Sequence[str]) -> tuple[str, ...]:
    """The keywords that the installed PEFT's wrapper for `task_type` adds to a call with `keys`: by calling it."""
    from peft import LoraConfig, get_peft_model

    stub = _Stub()
    adapted = get_peft_model(stub, LoraConfig(task_type=task_type, target_modules=["layer"]))
    dummy = torch.zeros(1, 1, dtype=torch.long)
    # A wrapper may also look into its stand-in and fail before it calls it; then nothing arrived.
    attempt(lambda: adapted(**dict.fromkeys(keys, dummy)))
    return tuple(sorted(stub.arrived - set(keys) - EVERY_WRAPPER))


def find_fitting_task_types(keys: Sequence[str], accepted: set[str] | None) -> Iterator[str]:
    """The task types whose wrapper adds nothing that forward does not take."""
    from peft import TaskType

    for task_type in TaskType:
        if accepted is None or all(k in accepted for k in inject(task_type.value, keys)):
            yield str(task_type.value)
