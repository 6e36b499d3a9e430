"""Building the model to look at: with its weights where they are small enough, else as a miniature of itself.

A contract needs the real architecture, not the real weights. From the config the model is built on the meta device, every
long list of like blocks is cut, widths stay, and random weights are drawn: real code paths and shapes in seconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from preflight_ocr.harness.config.schema import Config
from preflight_ocr.harness.facts import Unknown
from preflight_ocr.harness.training.model import find_dtype, load_model
from preflight_ocr.harness.training.quantising import asks_for_quantisation, fill, is_packed, pack, pack_by, prepare
from preflight_ocr.probes.reading.repository import find_model_directory
from preflight_ocr.probes.workbench.tracing import attempt

FULL_LOAD_BYTES = 1 << 30  # weights up to this size are loaded as they are
KEPT_BLOCKS = 2  # of each kind of block in a cut list
SEED = 20
_LARGE = 1 << 16  # numbers


class Built(msgspec.Struct, frozen=True, kw_only=True):
    """A model and whether its weights are its own ("real"), drawn at random or not there at all ("none").

    `bytes_before_cut` is what the whole model's weights take where it was cut to a miniature.
    """

    model: Any
    weights: str
    cut: tuple[str, ...] = ()
    bytes_before_cut: int = 0


def build(config: Config) -> Built:
    """The user's loader's model, or the one `model.base_model` names, in evaluation mode on the CPU."""
    torch.manual_seed(SEED)
    directory = find_model_directory(config)
    weights = 0 if isinstance(directory, Unknown) else weigh(directory)
    if config.subject.model is not None:
        return Built(model=load_model(config).eval(), weights="real" if weights else "random")
    if 0 < weights <= FULL_LOAD_BYTES:
        return Built(model=load_model(config).eval(), weights="real")
    return build_small(config)


def build_small(config: Config, *, whole: bool = False) -> Built:
    """The architecture from the config, its lists of like blocks cut, with seeded random weights in the asked dtype.

    With `whole` nothing is cut: the model's real size and speed, without its weights.
    """
    model, model_config = build_empty(config)
    weights = sum(_count_bytes(p, config) for p in model.parameters())
    cut = () if whole else tuple(_cut(model))
    for known in (model_config, model.config):  # releases differ in whether a model keeps a copy
        _count_layers_again(known, model)
    asked = find_dtype(config.model.torch_dtype)
    pack(model, config)
    _materialise(model, asked if isinstance(asked, torch.dtype) else torch.float32)
    if hasattr(model, "tie_weights"):
        model.tie_weights()
    if asks_for_quantisation(config.model.quantization):
        prepare(model)
    _read_generation_settings(model, config)
    return Built(model=model.eval(), weights="random", cut=cut, bytes_before_cut=weights)


def _read_generation_settings(model: Any, config: Config) -> None:
    """What `from_pretrained` does beside the weights: generation stops at what generation_config.json says."""
    from transformers import GenerationConfig

    directory = find_model_directory(config)
    if isinstance(directory, Unknown) or not (directory / "generation_config.json").is_file():
        return
    found = attempt(lambda: GenerationConfig.from_pretrained(directory))
    if isinstance(found, GenerationConfig) and getattr(model, "generation_config", None) is not None:
        model.generation_config = found


def build_like(kind: Any, model_config: Any, dtype: str | None, packing: Any = None) -> Built:
    """A model of class `kind` from its configuration, on the meta device first, then cut and filled as `build_small` does.

    `dtype` is what the caller of `from_pretrained` asked for; "auto" and None mean what the configuration names. `packing`
    is a BitsAndBytesConfig, None for plain weights.
    """
    from accelerate import init_empty_weights

    torch.manual_seed(SEED)
    make = getattr(kind, "_from_config", kind)
    with init_empty_weights(include_buffers=False), _LargeOnMeta():
        model = make(model_config)
    if any(buffer.is_meta for buffer in model.buffers()):
        with init_empty_weights(include_buffers=False):
            model = make(model_config)
    asked = find_dtype(dtype)
    if not isinstance(asked, torch.dtype):
        named = getattr(model_config, "dtype", None) or getattr(model_config, "torch_dtype", None)
        asked = named if dtype == "auto" and isinstance(named, torch.dtype) else torch.float32
    weights = sum(
        p.numel() * (asked.itemsize if p.is_floating_point() else p.element_size()) for p in model.parameters()
    )
    cut = tuple(_cut(model))
    for known in (model_config, model.config):
        _count_layers_again(known, model)
    if packing is not None:
        pack_by(model, packing)
    _materialise(model, asked)
    if hasattr(model, "tie_weights"):
        model.tie_weights()
    return Built(model=model.eval(), weights="random", cut=cut, bytes_before_cut=weights)


def _count_bytes(parameter: nn.Parameter, config: Config) -> int:
    """What a parameter of the whole model will take: in the asked dtype, else in the one the model is built in."""
    asked = find_dtype(config.model.torch_dtype)
    size = asked.itemsize if isinstance(asked, torch.dtype) and parameter.is_floating_point() else None
    return parameter.numel() * (size or parameter.element_size())


def build_empty(config: Config, flash_instead: str | None = None) -> tuple[Any, Any]:
    """The whole architecture on the meta device, and its configuration. Buffers are real, parameters have no numbers.

    `flash_instead` takes the place of flash attention wherever the configuration asks for it, in its sections too.
    """
    from accelerate import init_empty_weights
    from transformers import AutoConfig, AutoModel

    source, trust = config.model.base_model, config.model.trust_remote_code
    model_config = AutoConfig.from_pretrained(
        source, trust_remote_code=trust, revision=config.model.revision, cache_dir=config.model.cache_dir
    )
    if config.model.attn_implementation:
        model_config._attn_implementation = config.model.attn_implementation
    if flash_instead is not None:
        _replace_flash(model_config, flash_instead)
    auto_class = _choose_auto_class(model_config, AutoModel)
    # A list of parameters that are allocated and dropped at once scatters the heap: 3 B of them take 11 GB of addresses.
    with init_empty_weights(include_buffers=False), _LargeOnMeta():
        model = auto_class.from_config(model_config, trust_remote_code=trust)
    if any(buffer.is_meta for buffer in model.buffers()):
        with init_empty_weights(include_buffers=False):
            model = auto_class.from_config(model_config, trust_remote_code=trust)
    return model, model_config


class _LargeOnMeta(TorchFunctionMode):
    """`torch.empty` of many numbers, with which layers begin their weights, takes no memory and no time."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch.empty and kwargs.get("device") is None:
            weightless = func(*args, **{**kwargs, "device": "meta"})
            if weightless.numel() >= _LARGE:
                return weightless
        return func(*args, **kwargs)


def _replace_flash(section: Any, name: str) -> None:
    for key, value in list(vars(section).items()):
        if key.endswith("attn_implementation") and isinstance(value, str) and value.startswith("flash"):
            setattr(section, key, name)
        elif hasattr(value, "to_dict"):
            _replace_flash(value, name)


def _choose_auto_class(model_config: Any, fallback: Any) -> Any:
    """The Auto class that the repository registers, else the one transformers knows the config under."""
    import transformers

    registered = [name for name in getattr(model_config, "auto_map", None) or {} if name.startswith("AutoModel")]
    for name in (*sorted(registered, key=len, reverse=True), "AutoModelForImageTextToText", "AutoModelForVision2Seq"):
        candidate = getattr(transformers, name, None)
        if candidate is None:
            continue
        if name in registered or type(model_config) in candidate._model_mapping:
            return candidate
    return fallback


def weigh(directory: Path) -> int:
    """The bytes of the weight files in a directory."""
    return sum(f.stat().st_size for f in directory.iterdir() if f.suffix in (".safetensors", ".bin"))


def _signature_of(block: nn.Module) -> tuple[Any, ...]:
    return (type(block), *((name, tuple(p.shape)) for name, p in block.named_parameters()))


def _cut(model: nn.Module) -> Iterator[str]:
    """Keep the first blocks of each kind in every list that is run through in order; say what was cut."""
    for name, parent in list(model.named_modules()):
        for child_name, blocks in list(parent.named_children()):
            if not isinstance(blocks, nn.ModuleList | nn.Sequential) or len(blocks) <= KEPT_BLOCKS:
                continue
            kinds: dict[tuple[Any, ...], int] = {}
            kept = []
            for block in blocks:
                kind = _signature_of(block)
                kinds[kind] = kinds.get(kind, 0) + 1
                if kinds[kind] <= (KEPT_BLOCKS if len(kinds) == 1 else 1):
                    kept.append(block)
            # Likeness, not the name, says that this is a stack of blocks: a projector's Linear/GELU/Linear is no stack.
            # And a list as long as some weight of its parent is wide is indexed by that weight (experts by their router).
            if len(kept) > len(blocks) // 2 or _is_indexed_by_a_weight(parent, blocks):
                continue
            setattr(
                parent, child_name, type(blocks)(kept) if isinstance(blocks, nn.ModuleList) else nn.Sequential(*kept)
            )
            yield f"{name}.{child_name}".lstrip(".") + f": {len(blocks)} -> {len(kept)}"


def _is_indexed_by_a_weight(parent: nn.Module, blocks: nn.Module) -> bool:
    length = len(blocks)  # type: ignore[arg-type]
    inside = {id(p) for p in blocks.parameters()}
    return any(length in p.shape for p in parent.parameters() if id(p) not in inside)


def _count_layers_again(model_config: Any, model: nn.Module) -> None:
    """Caches and masks are made from `num_hidden_layers`; let it say what is left."""
    longest = getattr(model_config, "num_hidden_layers", None)
    lists = [m for n, m in model.named_modules() if isinstance(m, nn.ModuleList) and n.endswith("layers")]
    if isinstance(longest, int) and lists:
        model_config.num_hidden_layers = min(longest, max(len(m) for m in lists))


def _materialise(model: nn.Module, dtype: torch.dtype) -> None:
    """Give every meta parameter seeded random values: norms stay ones, biases zeros, matrices scaled by their fan-in."""
    pool = torch.randn(_POOL, generator=torch.Generator().manual_seed(SEED))
    for module in model.modules():
        for name, parameter in list(module._parameters.items()):
            if parameter is None or not parameter.is_meta:
                continue
            kind = dtype if parameter.is_floating_point() else parameter.dtype
            if parameter.dim() == 1 and name == "weight":
                values = torch.ones(parameter.shape, dtype=kind)
            elif name == "bias":
                values = torch.zeros(parameter.shape, dtype=kind)
            else:
                scale = max(parameter[0].numel() if parameter.dim() > 1 else parameter.numel(), 1) ** -0.5
                values = _draw(pool * scale, parameter.shape).to(kind)
            if is_packed(parameter):
                module._parameters[name] = fill(parameter, values)
                continue
            module._parameters[name] = nn.Parameter(values, requires_grad=parameter.requires_grad)
        for name, buffer in list(module._buffers.items()):
            if buffer is not None and buffer.is_floating_point() and dtype != torch.float32 and buffer.dim() > 1:
                module._buffers[name] = buffer.to(dtype)


# Drawing half a billion numbers takes seconds, repeating a million takes none. The length is prime, so that the rows of a
# matrix are not the same numbers over and over.
_POOL = 1_000_003


def _draw(pool: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    times = -(-shape.numel() // len(pool))
    return pool.repeat(times)[: shape.numel()].reshape(shape)


def read_config_json(directory: Path) -> dict[str, Any]:
    """The model's config.json as a plain dict."""
    loaded: dict[str, Any] = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    return loaded
