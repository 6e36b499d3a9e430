"""Where a training command is held, and what is done differently until then: one patch for each library.

What this machine cannot carry out (a card, flash attention, an upload) is left out and written down, never guessed. So are
packed weights where bitsandbytes is not installed, or packs none on a CPU. Everything else runs as the command wrote it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial, wraps
from pathlib import Path
from types import ModuleType
from typing import Any

from preflight_ocr.harness.holding.held import Held, Interruption, Load
from preflight_ocr.harness.holding.imports import patch_on_import

TakeOver = Callable[[Held], None]
Build = Callable[[Any, Any, str | None, Any], Any]
"""(model class, configuration, dtype, BitsAndBytesConfig or None) -> Built: the model cut, with random weights."""

FULL_LOAD_BYTES = 1 << 30  # weights up to this size are loaded as they are
_FLASH = ("flash_attention_2", "flash_attention_3", "flash_attn")
_LIBRARIES = ("transformers", "accelerate", "trl", "lightning", "pytorch_lightning", "peft")
# Arguments of TrainingArguments that need another machine, or that reach out of it, and what stands in for them.
_NOT_HERE: dict[str, Any] = {
    "fp16": False,
    "bf16": False,
    "fp16_full_eval": False,
    "bf16_full_eval": False,
    "tf32": None,
    "deepspeed": None,
    "fsdp": "",
    "push_to_hub": False,
    "report_to": "none",
    "torch_compile": False,
}


class Holder:
    """Watches one command. `tell` is told what the command is doing; `take_over` gets what is held."""

    def __init__(self, *, take_over: TakeOver, build: Build, tell: Callable[[str], None], rows: int | None) -> None:
        self.take_over, self.build, self.tell, self.rows = take_over, build, tell, rows
        self.loads: list[Load] = []
        self.undone: list[str] = []
        self.lacking: dict[str, str] = {}
        self.asked: dict[str, Any] = {}
        self.prepared: list[Any] = []
        self.busy = False  # our own code is at work: nothing of it is a step of the command
        self.is_done = False

    def install(self) -> None:
        """Patch each library as soon as the command imports it."""
        global _active
        _active = self
        patch_on_import(
            {
                "torch": self._calm_torch,
                "transformers.modeling_utils": self._patch_loading,
                "transformers.training_args": self._patch_arguments,
                "transformers.trainer": self._patch_trainer,
                "accelerate.accelerator": self._patch_accelerator,
                "lightning.pytorch.trainer.trainer": self._patch_lightning,
                "pytorch_lightning.trainer.trainer": self._patch_lightning,
                "datasets.arrow_dataset": self._patch_datasets,
                "huggingface_hub._login": self._patch_login,
            }
        )

    def hold(self, held: Held) -> None:
        """Hand over what is there, once, and end the command. Raises Interruption."""
        if not self.is_done:
            held.loads, held.asked = tuple(self.loads), dict(self.asked)
            held.undone, held.lacking = tuple(dict.fromkeys(self.undone)), dict(self.lacking)
            self.tell(f"held at {held.at}")
            with self.at_work():
                self.take_over(held)
            self.is_done = True
        raise Interruption(held.at)

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """While the block runs, no patch does anything but what it replaced."""
        before, self.busy = self.busy, True
        try:
            yield
        finally:
            self.busy = before

    def leave_out(self, what: str) -> None:
        """Write down that something of the command was not carried out here."""
        said = f"Not carried out here: {what}"
        if said not in self.undone:
            self.undone.append(said)

    # ---- the hub

    def _patch_login(self, module: ModuleType) -> None:
        """Nobody is there to be asked for a token; one that the command gives is used."""
        for name in ("login", "notebook_login", "interpreter_login"):
            if (original := getattr(module, name, None)) is not None:
                setattr(module, name, self._ask_nobody(name, original))

    def _ask_nobody(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def login(*given: Any, **named: Any) -> Any:
            token = named.get("token") or (given[0] if given and name == "login" else None)
            if token:
                return original(*given, **named)
            self.leave_out(f"huggingface_hub.{name}: nobody is asked for a token")
            return None

        return login

    # ---- torch

    def _calm_torch(self, torch: ModuleType) -> None:
        """One thread, so that this process can be forked; calls for a card go to the CPU."""
        from preflight_ocr.harness.training.redirects import redirect_cuda

        torch.set_num_threads(1)
        setattr(torch, "set_num_threads", lambda number: None)  # noqa: B010 (a patch, not a declaration)
        if not torch.cuda.is_available():
            self._redirection = redirect_cuda()
            self._redirection.__enter__()
            setattr(torch.cuda, "set_device", lambda device: None)  # noqa: B010
            setattr(torch.cuda, "synchronize", lambda device=None: None)  # noqa: B010

    # ---- transformers

    def _patch_loading(self, module: ModuleType) -> None:
        kind = module.PreTrainedModel
        original = kind.__dict__["from_pretrained"].__func__

        @classmethod  # type: ignore[misc]
        @wraps(original)
        def from_pretrained(cls: Any, source: Any = None, *given: Any, **named: Any) -> Any:
            if source is None and "pretrained_model_name_or_path" in named:
                source = named.pop("pretrained_model_name_or_path")
            if self.busy or source is None or given:
                return original(cls, source, *given, **named)
            return self._load(cls, original, str(source), named)

        kind.from_pretrained = from_pretrained

    def _load(self, cls: Any, original: Any, source: str, named: dict[str, Any]) -> Any:
        """The model with its weights where they are few and here, else built from its configuration."""
        self.tell(f"loading {source}")
        attention = _name_attention(named)
        packing = self._take_packing(named := dict(named))
        named = self._drop_what_needs_a_card(named)
        weights = _weigh(source)
        dtype = next((named[k] for k in ("dtype", "torch_dtype") if named.get(k) is not None), None)
        about: dict[str, Any] = {
            "source": source,
            "model_class": cls.__name__,
            "revision": named.get("revision"),
            "cache_dir": None if named.get("cache_dir") is None else str(named["cache_dir"]),
            "trust_remote_code": bool(named.get("trust_remote_code")),
            "dtype": None if dtype is None else str(dtype).removeprefix("torch."),
            "attention": attention,
        }
        if 0 < weights <= FULL_LOAD_BYTES or named.get("state_dict") is not None:
            model = self._load_whole(partial(original, cls, source), named, packing)
            self.loads.append(Load(**about))
            return model
        model_config = self._configure(cls, source, named)
        own = {"quantization_config": vars(model_config).pop("quantization_config", None)}
        packing = packing or self._take_packing(own)  # of a checkpoint that was packed before it was published
        with self.at_work():
            built = self._try_packed(lambda how: self.build(cls, model_config, about["dtype"], how), packing)
        self.loads.append(
            Load(**about, weights="random", cut=tuple(built.cut), bytes_before_cut=built.bytes_before_cut)
        )
        why = "no weights are here" if not weights else f"its weights are {weights / 2**30:.1f} GiB"
        self.leave_out(f"{source} was built from its configuration, with random weights: {why}")
        return built.model

    def _load_whole(self, original: Any, named: dict[str, Any], packing: Any) -> Any:
        """The model with its own weights; of packed ones, one kernel for training and evaluation."""
        from preflight_ocr.harness.training.quantising import settle_kernels

        def load(how: Any) -> Any:
            return original(**named) if how is None else original(**named, quantization_config=how)

        with self.at_work():
            model = self._try_packed(load, packing)
        settle_kernels(model)
        return model

    def _try_packed(self, load: Callable[[Any], Any], packing: Any) -> Any:
        """What `load` gives with these packed weights, and where that raises, with plain ones."""
        if packing is None:
            return load(None)
        try:
            return load(packing)
        except Exception as error:  # noqa: BLE001 (whatever the libraries raise, the command goes on)
            said = f"{type(error).__name__}: {str(error)[:200]}"
            self.leave_out(f"quantization_config: the weights are loaded unquantised ({said})")
            return load(None)

    def _take_packing(self, named: dict[str, Any]) -> Any:
        """The BitsAndBytesConfig of these keywords, which are taken out; None where they ask for nothing of the kind, or for
        what cannot be had here."""
        asked = named.pop("quantization_config", None)
        bits = {name: named.pop(name) for name in ("load_in_4bit", "load_in_8bit") if name in named}
        if asked is None and not any(bits.values()):
            return None
        from transformers import BitsAndBytesConfig

        method = asked.get("quant_method", "bitsandbytes") if isinstance(asked, dict) else "bitsandbytes"
        if asked is None:
            asked = BitsAndBytesConfig(**bits)
        elif isinstance(asked, dict) and method == "bitsandbytes":
            asked = BitsAndBytesConfig.from_dict(asked)
        if isinstance(asked, BitsAndBytesConfig) and importlib.util.find_spec("bitsandbytes") is not None:
            return asked
        if isinstance(asked, BitsAndBytesConfig):
            why = "bitsandbytes is not installed"
            self.lacking["load_in_8bit" if asked.load_in_8bit else "load_in_4bit"] = "bitsandbytes"
        else:
            why = str(method) if isinstance(asked, dict) else type(asked).__name__
        self.leave_out(f"quantization_config: the weights are loaded unquantised ({why})")
        return None

    def _configure(self, cls: Any, source: str, named: dict[str, Any]) -> Any:
        """The configuration that `from_pretrained` would have used."""
        from transformers import AutoConfig, PretrainedConfig

        config = named.get("config")
        if not isinstance(config, PretrainedConfig):
            options = {k: named[k] for k in ("revision", "cache_dir", "trust_remote_code", "token") if k in named}
            config = AutoConfig.from_pretrained(config or source, **options)
            wanted = getattr(cls, "config_class", None)
            if wanted is not None and not isinstance(config, wanted):
                config = wanted.from_pretrained(source)
        for name, value in named.items():
            if name not in ("config", "dtype", "torch_dtype", "attn_implementation") and hasattr(config, name):
                setattr(config, name, value)
        if isinstance(named.get("attn_implementation"), str):
            config._attn_implementation = named["attn_implementation"]
        return config

    def _drop_what_needs_a_card(self, named: dict[str, Any]) -> dict[str, Any]:
        left = dict(named)
        if left.pop("device_map", None) not in (None, "cpu", {"": "cpu"}):
            self.leave_out("device_map: everything is on the CPU")
        left.pop("max_memory", None)
        if "_attn_implementation" in left:  # an older spelling of the same
            left.setdefault("attn_implementation", left.pop("_attn_implementation"))
        attention = _name_attention(left)
        config = left.get("config")
        if hasattr(config, "to_dict") and replace_flash(config):  # the keyword was written into it before it came here
            left["attn_implementation"] = None
        if left.pop("use_flash_attention_2", False) or (isinstance(attention, str) and attention.startswith(_FLASH)):
            self.leave_out(f"attn_implementation {attention or 'flash_attention_2'}: plain attention in its place")
            left["attn_implementation"] = "eager"
        return left

    def _patch_arguments(self, module: ModuleType) -> None:
        kind = module.TrainingArguments
        original = kind.__post_init__

        @wraps(original)
        def __post_init__(arguments: Any) -> None:
            if self.busy:
                original(arguments)
                return
            asked = {
                name: getattr(arguments, name)
                for name, instead in _NOT_HERE.items()
                if hasattr(arguments, name) and getattr(arguments, name) not in (instead, None, [], "", False)
            }
            for name in asked:
                setattr(arguments, name, _NOT_HERE[name])
            original(arguments)
            self.asked |= asked
            quiet = ("report_to", "fp16", "bf16", "push_to_hub")
            for name, value in asked.items():
                if name not in quiet:
                    self.leave_out(f"{name}={value!r}")

        kind.__post_init__ = __post_init__

    def _patch_trainer(self, module: ModuleType) -> None:
        kind = module.Trainer
        for name in ("train", "_inner_training_loop"):
            original = getattr(kind, name, None)
            if original is not None:
                setattr(kind, name, self._held_trainer(original, name))

    def _held_trainer(self, original: Any, name: str) -> Any:
        @wraps(original)
        def train(trainer: Any, *given: Any, **named: Any) -> Any:
            if self.busy:
                return original(trainer, *given, **named)
            self.hold(read_trainer(trainer, f"{type(trainer).__module__}.{type(trainer).__name__}.{name}", self))
            return None

        return train

    # ---- loops of the user's own

    def _patch_accelerator(self, module: ModuleType) -> None:
        kind = module.Accelerator
        original, backward, make = kind.prepare, kind.backward, kind.__init__

        @wraps(make)
        def __init__(accelerator: Any, *given: Any, **named: Any) -> None:
            if not self.busy and named.get("mixed_precision") not in (None, "no"):
                self.asked[str(named["mixed_precision"])] = True
                named["mixed_precision"] = "no"
            if not self.busy and named.get("log_with") is not None:
                self.leave_out(f"log_with={named['log_with']!r}")
                named["log_with"] = None
            make(accelerator, *given, **named)

        @wraps(original)
        def prepare(accelerator: Any, *given: Any, **named: Any) -> Any:
            if self.busy or _is_called_by_a_library():
                return original(accelerator, *given, **named)
            self.prepared += given
            held = read_loop(self.prepared)
            if held is not None and held.rows is not None:
                self.hold(held)
            return original(accelerator, *given, **named)

        @wraps(backward)
        def first_backward(accelerator: Any, *given: Any, **named: Any) -> Any:
            if not self.busy and not _is_called_by_a_library() and (held := read_loop(self.prepared)) is not None:
                self.hold(held)
            return backward(accelerator, *given, **named)

        kind.__init__, kind.prepare, kind.backward = __init__, prepare, first_backward

    def _patch_lightning(self, module: ModuleType) -> None:
        kind = module.Trainer
        original = kind.fit

        @wraps(original)
        def fit(trainer: Any, model: Any, train_dataloaders: Any = None, *given: Any, **named: Any) -> Any:
            if self.busy:
                return original(trainer, model, train_dataloaders, *given, **named)
            self.hold(
                read_lightning(model, train_dataloaders, named.get("datamodule"), f"{module.__name__}.Trainer.fit")
            )
            return None

        kind.fit = fit

    # ---- rows

    def _patch_datasets(self, module: ModuleType) -> None:
        kind = module.Dataset
        for name in ("map", "filter"):
            setattr(kind, name, self._bounded(getattr(kind, name), name))

    def _bounded(self, original: Any, name: str) -> Any:
        @wraps(original)
        def work(dataset: Any, *given: Any, **named: Any) -> Any:
            if self.busy:
                return original(dataset, *given, **named)
            most = self.rows
            if most is not None and len(dataset) > most:
                self.leave_out(f"only the first {most} of {len(dataset)} rows were prepared (--rows {most})")
                dataset = dataset.select(range(most))
            self.tell(f"preparing {len(dataset)} rows (datasets.{name})")
            return original(dataset, *given, **named)

        return work


_active: Holder | None = None


def get_holder() -> Holder | None:
    """The holder that watches this process's command; None in a run that nobody watches."""
    return _active


def read_trainer(trainer: Any, at: str, holder: Holder | None = None) -> Held:
    """What a Hugging Face Trainer would train with. Rows and collator come from its own training loader.

    `holder` is the one whose patches have to let the loader be made, where there is one.
    """
    arguments = trainer.args
    rows, collate, batch_size = trainer.train_dataset, trainer.data_collator, arguments.per_device_train_batch_size
    error = ""
    with contextlib.nullcontext() if holder is None else holder.at_work():
        try:
            loader = trainer.get_train_dataloader()
        except Exception as raised:  # noqa: BLE001 (foreign code; kept and told)
            error = f"{type(raised).__name__}: {raised}"
        else:
            rows, collate = getattr(loader, "dataset", rows), getattr(loader, "collate_fn", collate)
    return Held(
        at=at,
        model=trainer.model,
        collate=collate,
        rows=rows,
        eval_rows=trainer.eval_dataset,
        processor=getattr(trainer, "processing_class", None) or getattr(trainer, "tokenizer", None),
        arguments=arguments,
        callbacks=tuple(trainer.callback_handler.callbacks),
        optimizers=tuple(o for o in (trainer.optimizer, trainer.lr_scheduler) if o is not None),
        compute_metrics=trainer.compute_metrics,
        label_names=tuple(trainer.label_names or ()),
        batch_size=batch_size,
        workers=int(getattr(arguments, "dataloader_num_workers", 0) or 0),
        pins_memory=bool(getattr(arguments, "dataloader_pin_memory", False)),
        trainer=trainer,
        loader_error=error,
    )


def read_loop(prepared: list[Any]) -> Held | None:
    """What a loop with Accelerate was about to use; None as long as no model is among it."""
    from torch import nn
    from torch.optim import Optimizer
    from torch.utils.data import DataLoader

    model = next((part for part in prepared if isinstance(part, nn.Module)), None)
    if model is None:
        return None
    loader = next((part for part in prepared if isinstance(part, DataLoader)), None)
    return Held(
        at="accelerate.Accelerator.prepare",
        model=model,
        collate=None if loader is None else loader.collate_fn,
        rows=None if loader is None else loader.dataset,
        optimizers=tuple(part for part in prepared if isinstance(part, Optimizer)),
        batch_size=1 if loader is None else loader.batch_size or 1,
        workers=0 if loader is None else loader.num_workers,
        pins_memory=loader is not None and bool(loader.pin_memory),
    )


def read_lightning(module: Any, loaders: Any, data: Any, at: str) -> Held:
    """What Lightning's Trainer would fit: its module, and the loader that was given or that the data module makes."""
    loader = loaders
    if loader is None and data is not None:
        for step in ("prepare_data", "setup"):
            prepare = getattr(data, step, None)
            if prepare is not None:
                prepare(*(("fit",) if step == "setup" else ()))
        loader = data.train_dataloader()
    elif loader is None and hasattr(module, "train_dataloader"):
        loader = module.train_dataloader()
    if isinstance(loader, list | tuple):
        loader = loader[0]
    return Held(
        at=at,
        model=_find_trained(module),
        unpack=partial(take_apart, module) if callable(getattr(module, "training_step", None)) else None,
        collate=getattr(loader, "collate_fn", None),
        rows=getattr(loader, "dataset", None),
        processor=getattr(module, "processor", None) or getattr(module, "tokenizer", None),
        batch_size=getattr(loader, "batch_size", None) or 1,
        workers=getattr(loader, "num_workers", 0),
        pins_memory=bool(getattr(loader, "pin_memory", False)),
    )


def _find_trained(module: Any) -> Any:
    """The model inside a Lightning module, with the adapter around it; the module where there are several or none.

    Lightning calls `training_step`, so that the module's own forward says nothing of the training.
    """
    from transformers import PreTrainedModel

    children: Any = getattr(module, "children", tuple)
    models = [child for child in children() if isinstance(child, PreTrainedModel) or hasattr(child, "peft_config")]
    return models[0] if len(models) == 1 else module


class _Called(BaseException):
    """Carries what a model was called with out of the code that called it."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        super().__init__()
        self.arguments = arguments


def take_apart(module: Any, batch: Any) -> dict[str, Any]:
    """What the module's own `training_step` calls its model with for this batch, by the names of the model's forward.

    Raises what the step raises before it calls the model, and ValueError where it does not call it.
    """
    from preflight_ocr.harness.families.anatomy import unwrap

    bare, _ = unwrap(_find_trained(module))
    names = inspect.signature(bare.forward)
    rest = [name for name, one in names.parameters.items() if one.kind is one.VAR_KEYWORD]

    def note(model: Any, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        bound = names.bind_partial(*given, **named).arguments
        extra = bound.pop(rest[0], {}) if rest else {}
        raise _Called({name: value for name, value in {**bound, **extra}.items() if value is not None})

    hook = bare.register_forward_pre_hook(note, with_kwargs=True)
    try:
        module.training_step(batch, 0)
    except _Called as called:
        return called.arguments
    finally:
        hook.remove()
    raise ValueError(f"{type(module).__name__}.training_step did not call its model")


def _name_attention(named: dict[str, Any]) -> str | None:
    """The attention that a call of `from_pretrained` asks for, by keyword or in the configuration that it is given."""
    asked = named.get("attn_implementation") or getattr(named.get("config"), "_attn_implementation", None)
    return asked if isinstance(asked, str) else None


def replace_flash(section: Any) -> bool:
    """Plain attention wherever a configuration asks for flash attention, in its sections too; whether it did."""
    found = False
    for key, value in list(vars(section).items()):
        if key.endswith("attn_implementation") and isinstance(value, str) and value.startswith("flash"):
            setattr(section, key, "eager")
            found = True
        elif hasattr(value, "to_dict"):
            found = replace_flash(value) or found
    return found


def _is_called_by_a_library() -> bool:
    """Whether the caller of the patched function is a library that prepares parts by itself."""
    frame = sys._getframe(2)
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] in _LIBRARIES


def _weigh(source: str) -> int:
    """The bytes of the weight files in a directory, or in the cache for a hub id; 0 where there are none."""
    place = Path(source)
    if not place.is_dir():
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(source, "config.json")
        if not isinstance(found, str):
            return 0
        place = Path(found).parent
    return sum(f.stat().st_size for f in place.iterdir() if f.suffix in (".safetensors", ".bin"))


OFFLINE = {
    "WANDB_MODE": "disabled",
    "COMET_MODE": "disabled",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_TRACKING_URI": "",
}


def calm_trackers() -> None:
    """No tracker hears of a check."""
    os.environ.update({name: value for name, value in OFFLINE.items() if value})


__all__ = ["Holder", "calm_trackers", "get_holder", "read_lightning", "read_loop", "read_trainer"]
