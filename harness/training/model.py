"""Loading the model and what prepares its text, under the names the installed libraries use."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any, Literal

import msgspec
import torch
import transformers

from preflight_ocr.harness.config import compat
from preflight_ocr.harness.config.compat import AUTO_CLASSES
from preflight_ocr.harness.config.errors import UserError
from preflight_ocr.harness.config.hub import find_model_files
from preflight_ocr.harness.config.schema import Config
from preflight_ocr.harness.foreign.files import is_file
from preflight_ocr.harness.training.quantising import describe_quantisation, prepare, settle_kernels
from preflight_ocr.harness.training.spreading import choose_device_map
from preflight_ocr.harness.training.subject import load_part

_DESCRIPTIONS = ("processor_config", "preprocessor_config", "tokenizer_config", "config")


class LoadError(UserError):
    """The model, its tokenizer or its processor cannot be loaded as configured."""


class LoadedProcessor(msgspec.Struct, frozen=True, kw_only=True):
    """What prepares text, and images where there is a real processor.

    `kind` is "tokenizer" when the model has no processor whose code exists; `reason` then says so. `without` names the
    slots of the processor that were left out because no page needs them and the installed packages cannot fill them.
    """

    processor: Any
    tokenizer: Any
    kind: Literal["processor", "tokenizer"]
    reason: str | None = None
    without: tuple[str, ...] = ()


def find_directory(config: Config) -> Path:
    """The model directory; a hub repository is brought into the cache first, without its weights."""
    if config.model.directory is not None:
        return config.model.directory
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        found = snapshot_download(
            config.model.base_model,
            revision=config.model.revision,
            cache_dir=config.model.cache_dir,
            allow_patterns=["*.json", "*.py", "*.jinja", "*.model", "*.txt"],
        )
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        message = f"{config.model.base_model} is neither a directory nor a repository that can be reached ({error})"
        raise LoadError(f"{message}; correct model.base_model") from None
    return Path(found)


def find_untrusted(config: Config) -> str:
    """What would run that is not a library's, the user's own part or the model's code, and that nobody trusted; "" for
    nothing. Reads file names and JSON, imports nothing."""
    if config.model.trust_remote_code:
        return ""
    parts = (config.subject.model, config.subject.collator, config.subject.peft, config.subject.trainer)
    if named := next((part for part in parts if part is not None), None):
        return f"`{named}`"
    directory = find_model_files(config)
    if directory is None:
        return ""
    if code := next(iter(sorted(directory.glob("*.py"))), None):
        return str(code)
    described = (_read_json(directory / f"{name}.json") for name in _DESCRIPTIONS)
    return config.model.base_model if any("auto_map" in content for content in described) else ""


def load_model(config: Config) -> torch.nn.Module:
    """The model as configured, or what `subject.model` returns. Executes remote code, so only with trust."""
    load = load_part(config, "model")
    if load is not None:
        model: torch.nn.Module = load(config)
        settle_kernels(model)
        return model
    directory = find_directory(config)
    auto_map = _read_json(directory / "config.json").get("auto_map", {})
    if auto_map and not config.model.trust_remote_code:
        message = f"{config.model.base_model} brings its own code; read it, then set model.trust_remote_code: true"
        raise LoadError(message)
    quantisation = describe_quantisation(config)
    options: dict[str, Any] = {
        compat.dtype_keyword(): find_dtype(config.model.torch_dtype),
        "attn_implementation": config.model.attn_implementation,
        # Without an accelerator there is nothing to spread over, and placement hooks would only slow the run.
        "device_map": choose_device_map(config.model.device_map, quantised=quantisation is not None)
        if torch.cuda.is_available()
        else None,
        "quantization_config": quantisation,
    }
    chosen = {name: value for name, value in options.items() if value is not None}
    loaded: torch.nn.Module = _choose_auto_class(auto_map).from_pretrained(
        config.model.base_model, **_source_options(config), **chosen
    )
    settle_kernels(loaded)
    return prepare(loaded) if quantisation is not None else loaded


def load_processor(config: Config) -> LoadedProcessor:
    """The processor when its code exists, else the tokenizer, which AutoProcessor would return without a word."""
    directory = find_directory(config)
    files = [_read_json(directory / f"{name}.json") for name in _DESCRIPTIONS]
    named = next((content["processor_class"] for content in files if content.get("processor_class")), None)
    has_code = any("AutoProcessor" in (content.get("auto_map") or {}) for content in files)
    options = _source_options(config)
    known = named is not None and hasattr(transformers, named)
    if not known and any("AutoConfig" in (content.get("auto_map") or {}) for content in files):
        # Some remote code registers its processor when the configuration's module is imported, and only then.
        transformers.AutoConfig.from_pretrained(config.model.base_model, **options)
        has_code = True
    if named is not None and (has_code or known):
        processor, without = _open_processor(config.model.base_model, named, options)
        if hasattr(processor, "tokenizer"):
            return LoadedProcessor(
                processor=processor, tokenizer=processor.tokenizer, kind="processor", without=without
            )
    reason = f"{named} has no code in the model or in transformers" if named else "the model names no processor"
    tokenizer = transformers.AutoTokenizer.from_pretrained(config.model.base_model, **options)
    return LoadedProcessor(processor=tokenizer, tokenizer=tokenizer, kind="tokenizer", reason=reason)


def _open_processor(source: str, named: str, options: dict[str, Any]) -> tuple[Any, tuple[str, ...]]:
    """The processor, without its video part where that is what cannot be had: no page needs it.

    Since transformers 4.52 a video part is a processor of its own, made for torchvision alone; where it is missing, or the
    repository does not describe it, the whole processor is refused. Raises what AutoProcessor raises where that is not it.
    """
    try:
        return transformers.AutoProcessor.from_pretrained(source, **options), ()
    except (ImportError, OSError, TypeError, ValueError):
        whole = _find_processor_class(named)
        slots = list(whole.get_attributes() if hasattr(whole, "get_attributes") else getattr(whole, "attributes", ()))
        if "video_processor" not in slots:
            raise
    kept = tuple(slot for slot in slots if slot != "video_processor")
    return _leave_out(whole, kept).from_pretrained(source, **options), ("video_processor",)


@functools.cache
def _leave_out(whole: Any, kept: tuple[str, ...]) -> Any:
    """A class of the same name with these slots only. Its objects can be pickled although nobody can import it.

    Up to 4.57 the slots are read from the class, from 5 on a method is asked for them.
    """

    def reduce(self: Any) -> Any:
        return _restore, (whole, kept, self.__dict__)

    slots = {"attributes": list(kept), "get_attributes": classmethod(lambda cls: list(kept))}
    return type(whole.__name__, (whole,), {**slots, "__reduce__": reduce, "__module__": whole.__module__})


def _restore(whole: Any, kept: tuple[str, ...], state: dict[str, Any]) -> Any:
    kind = _leave_out(whole, kept)
    restored = kind.__new__(kind)
    restored.__dict__.update(state)
    return restored


def _find_processor_class(named: str) -> Any:
    """The class that transformers exports or that remote code has registered under this name; None without one."""
    found = getattr(transformers, named, None)
    if found is not None:
        return found
    registered = transformers.models.auto.processing_auto.PROCESSOR_MAPPING
    return next((kind for kind in registered._extra_content.values() if kind.__name__ == named), None)


def find_dtype(name: str | None) -> torch.dtype | str | None:
    """The dtype named `float32`, `torch.float32`, `bf16`, ...; "auto" and None (the library's default) stay."""
    if name is None or name == "auto":
        return name
    short = {"fp16": "float16", "half": "float16", "bf16": "bfloat16", "fp32": "float32", "float": "float32"}
    plain = name.removeprefix("torch.")
    dtype = getattr(torch, short.get(plain, plain), None)
    if not isinstance(dtype, torch.dtype):
        raise LoadError(f"model.torch_dtype is {name!r}, expected float32, bfloat16, float16 or auto")
    return dtype


def find_image_dtype(model: torch.nn.Module) -> torch.dtype:
    """The dtype in which the vision part wants its pixels: that of the first convolution, which is what meets them."""
    convolutions = (module for module in model.modules() if isinstance(module, torch.nn.Conv2d | torch.nn.Conv3d))
    first = next(convolutions, None)
    weights = (parameter for parameter in model.parameters() if parameter.is_floating_point())
    return first.weight.dtype if first is not None else next(weights).dtype


def _choose_auto_class(auto_map: dict[str, Any]) -> Any:
    registered = [name for name in AUTO_CLASSES if name in auto_map] if auto_map else AUTO_CLASSES
    found = next((name for name in registered if hasattr(transformers, name)), None)
    if found is None:
        names = ", ".join(auto_map)
        raise LoadError(f"auto_map registers {names}; the installed transformers has none of them for a model")
    return getattr(transformers, found)


def _source_options(config: Config) -> dict[str, Any]:
    given = {"revision": config.model.revision, "cache_dir": config.model.cache_dir}
    return {
        **{name: value for name, value in given.items() if value is not None},
        "trust_remote_code": config.model.trust_remote_code,
    }


def _read_json(path: Path) -> dict[str, Any]:
    if not is_file(path):
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise LoadError(f"{path} is not JSON: {error}; fetch the file again") from None
    return content if isinstance(content, dict) else {}
