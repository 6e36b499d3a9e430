"""The life of the run in small: what it will do is done once, with its own arguments and only the sizes reduced.

TrainingArguments, optimizer, schedule, callbacks and integrations are really built; then a step, an evaluation, a
checkpoint, the way back from it, the best one loaded, the final save. A stage that raises is written down and passed over,
so that those behind it are reached. All of it happens in a copy of the learning child, whose model has its adapter already.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy
import psutil
import torch

from preflight_ocr.harness import atomic
from preflight_ocr.harness.config import compat
from preflight_ocr.harness.facts import FailedCallback, KeptOutputs, Raised, Rehearsal, Unknown, blank
from preflight_ocr.harness.families.anatomy import unwrap
from preflight_ocr.harness.isolation.closing import CLOSED_BY_US
from preflight_ocr.harness.training import train
from preflight_ocr.harness.training.data import names_rows, open_rows
from preflight_ocr.harness.training.model import load_processor
from preflight_ocr.harness.training.subject import load_part
from preflight_ocr.probes.learning import learning
from preflight_ocr.probes.workbench.aside import run_aside
from preflight_ocr.probes.workbench.assembly import Assembly
from preflight_ocr.probes.workbench.brought import open_parts
from preflight_ocr.probes.workbench.held import HeldAssembly
from preflight_ocr.probes.workbench.tracing import attempt, describe_error

SECONDS = 120.0
ROWS = 2  # of the evaluation, in as many batches: what is put together behind each batch is seen as well
FINAL = "final"
PROCESSOR_FILES = ("processor_config.json", "preprocessor_config.json")
NOT_REACHED = Unknown(reason="the rehearsal did not come so far")
ALREADY_BROKEN = "no run was rehearsed: a single training step cannot be made"
# What one process on a CPU cannot do, and what stands in its place.
_NOT_HERE: Mapping[str, Any] = {
    "deepspeed": None, "fsdp": "", "fsdp_config": None, "parallelism_config": None, "fp16": False,
    "fp16_full_eval": False, "tf32": None, "torch_compile": False, "push_to_hub": False, "ddp_backend": None,
}  # fmt: skip
_LOCAL = ("TensorBoardCallback",)  # an integration that writes files; the others call a service
_CARD = ("cuda", "gpu", "triton", "accelerator device")


def observe(config_path: str, trust: bool, folder: str) -> dict[str, object]:
    """Run in a child: Adapter, Learning and Rehearsal as builtins. What was saved is left in `folder` for `reload`."""
    return observe_parts(open_parts(config_path, trust=trust, folder=Path(folder), adapted=True), Path(folder))


def observe_parts(parts: Assembly, folder: Path) -> dict[str, object]:
    """The same of parts that are there."""
    seen: list[Rehearsal | Unknown] = []
    found = learning.observe_parts(parts, folder, beside=lambda adapted: seen.append(rehearse(parts, adapted, folder)))
    found["rehearsal"] = msgspec.to_builtins(seen[0] if seen else Unknown(reason=ALREADY_BROKEN))
    return found


def reload(config_path: str, trust: bool, folder: str) -> dict[str, object]:
    """Run in a fresh child: the saved adapter on the bare model, and what the rehearsed run saved at its end."""
    return reload_parts(open_parts(config_path, trust=trust, folder=Path(folder)), Path(folder))


def reload_parts(parts: Assembly, folder: Path) -> dict[str, object]:
    """The same of parts that are there."""
    round_trip = learning.reload_parts(parts, folder)
    return {"round_trip": round_trip, "reading": msgspec.to_builtins(_read(parts, folder / "life" / FINAL))}


def _read(parts: Assembly, final: Path) -> Any:
    """Load adapter and processor from the folder that the run left."""
    if not (final / "adapter_config.json").is_file():
        return Unknown(reason="the rehearsed run left no adapter")

    def load() -> None:
        from peft import PeftModel

        PeftModel.from_pretrained(parts.bare, str(final), adapter_name=FINAL)
        if any((final / name).is_file() for name in PROCESSOR_FILES):
            model = msgspec.structs.replace(parts.config.model, base_model=str(final), revision=None)
            load_processor(msgspec.structs.replace(parts.config, model=model))
        elif (
            final / "tokenizer_config.json"
        ).is_file():  # the trainer had the tokenizer alone; pages need the base model's
            from transformers import AutoTokenizer

            AutoTokenizer.from_pretrained(str(final), trust_remote_code=parts.config.model.trust_remote_code)

    ended = attempt(load)
    return ended if isinstance(ended, Raised) else "done"


def rehearse(parts: Assembly, adapted: Any, folder: Path) -> Rehearsal | Unknown:
    """All stages, in a copy of this process; what was seen until then where that one had to be stopped."""
    if isinstance(parts, HeldAssembly) and not hasattr(parts.held.trainer, "callback_handler"):
        return Unknown(reason="the command trains in a loop of its own, which is not run here")
    place = folder / "life"
    place.mkdir(exist_ok=True)
    notes = Notes(place / "stages.msgpack")
    notes.write()
    ended = run_aside(lambda: _live(parts, adapted, place, notes), SECONDS)
    seen = msgspec.msgpack.decode(notes.path.read_bytes(), type=Rehearsal)
    if not ended:
        return seen
    reason = Unknown(reason=f"the rehearsal did not come so far: {ended}")
    open_ones = {name: reason for name in seen.__struct_fields__ if getattr(seen, name) == NOT_REACHED}
    return msgspec.structs.replace(seen, **open_ones)


class Notes:
    """What is known of each stage so far. It is written down at once: the process may end at any stage."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.known: dict[str, Any] = {"left_out": (), "callbacks": ()}

    def note(self, stage: str, ended: Any) -> None:
        """How a stage ended. What it raised once is not written over when it goes well another time.

        What a check closed around the stage says nothing about the run.
        """
        if isinstance(ended, Raised) and ended.type == CLOSED_BY_US:
            ended = Unknown(reason=ended.message)
        if not isinstance(self.known.get(stage), Raised):
            self.known[stage] = ended
        self.write()

    def forget(self, *stages: str) -> None:
        for stage in stages:
            self.known.pop(stage, None)

    def add(self, name: str, entry: Any) -> None:
        if entry not in self.known[name]:
            self.known[name] = (*self.known[name], entry)

    def attempt(self, stage: str, work: Callable[[], Any]) -> Any:
        """Do a stage: what it gives, or the Raised that was written down."""
        ended = attempt(work)
        self.note(stage, ended if isinstance(ended, Raised) else "done")
        return ended

    def write(self) -> None:
        atomic.write_bytes(self.path, msgspec.msgpack.encode(blank(Rehearsal, NOT_REACHED, **self.known)))


# ---- the run


def _live(parts: Assembly, adapted: Any, place: Path, notes: Notes) -> None:
    run: Run = (
        HeldRun(parts, adapted, place, notes) if isinstance(parts, HeldAssembly) else Run(parts, adapted, place, notes)
    )
    is_started_by_us = run.is_ours or bool(parts.brings)  # as `run-training` starts whatever trainer the YAML names
    with compat.allow_rng_state() if is_started_by_us else contextlib.nullcontext():
        trainer = run.begin()
        if trainer is not None:
            run.go_on(trainer)
    if trainer is not None:
        run.end(trainer)


class Run:
    """The run of a YAML file: our Trainer, or the one that the user's factory makes."""

    is_ours = True

    def __init__(self, parts: Assembly, adapted: Any, place: Path, notes: Notes) -> None:
        self.parts, self.adapted, self.place, self.notes = parts, adapted, place, notes
        self.config = parts.config
        self.own_collator = True
        self.processor: Any = None

    def begin(self) -> Any:
        """The trainer after its first step; None where there is none, or it makes none."""
        if isinstance(self.check_arguments(), Raised):
            return None
        for _ in range(2):
            trainer = self.make(steps=1)
            if trainer is None:
                return None
            ended = attempt(trainer.train)
            if not isinstance(ended, Raised):
                self.notes.note("step", "done")
                return trainer
            if self.own_collator and self.parts.reference is not None:
                self.own_collator = False  # what the user's batch lacks is told elsewhere
                self.notes.forget("evaluation", "metrics", "kept", "checkpoint")
                continue
            self.notes.note("step", ended)
        return None

    def check_arguments(self) -> Any:
        """TrainingArguments with the sizes of the run."""
        if load_part(self.config, "trainer") is not None:
            self.notes.note("arguments", Unknown(reason="subject.trainer makes its own arguments"))
            return None

        def build() -> None:
            from transformers import TrainingArguments

            out = self.place / "out"
            inside = {"output_dir": str(out), "logging_dir": str(out / "logs"), "use_cpu": True}
            asked = {**train.choose_arguments(self.config), **inside}
            asked = self.leave_out(asked)
            TrainingArguments(
                **compat.fit_training_arguments(asked, compat.accepted_names(TrainingArguments.__init__))[0]
            )

        return self.notes.attempt("arguments", build)

    def leave_out(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments without those that need another machine, each of which is written down."""
        both = bool(asked.get("fp16")) and bool(asked.get("bf16"))  # refused on every machine
        kept = dict(asked)
        for name, instead in _NOT_HERE.items():
            if kept.get(name) in (instead, None, "", False, [], {}) or (both and name == "fp16"):
                continue
            self.notes.add("left_out", name)
            kept[name] = instead
        return {name: value for name, value in kept.items() if name not in _NOT_HERE or value not in (None, "")}

    def make(self, *, steps: int) -> Any:
        """A trainer of `steps` steps, watched, with its optimizer; None where one of these raised."""
        trainer = self.notes.attempt("trainer", lambda: self.build(steps))
        if isinstance(trainer, Raised):
            return None
        if not hasattr(trainer, "callback_handler"):
            self.notes.note("step", Unknown(reason=f"{type(trainer).__name__} is no Trainer of transformers"))
            return None
        shorten(trainer.args, self.place / "out", steps)
        quieten(trainer, self.notes)
        ended = attempt(lambda: trainer.create_optimizer_and_scheduler(num_training_steps=self.count_steps()))
        if isinstance(ended, Raised) and _needs_card(ended):
            self.notes.note("optimizer", Unknown(reason=f"it needs a card: {ended.message}"))
            return None
        self.notes.note("optimizer", ended if isinstance(ended, Raised) else "done")
        if isinstance(ended, Raised):
            return None
        watch(trainer, self.notes, self.count_evaluated())
        return trainer

    def count_steps(self) -> int:
        return max(2, self.config.training.max_steps)

    def count_evaluated(self) -> int | Unknown:
        rows = open_rows(self.config)[1] if names_rows(self.config) else None
        return len(rows) if rows is not None else Unknown(reason="data.val_path is not set")

    def build(self, steps: int) -> Any:
        config, training = self.config, self.config.training
        size = max(1, min(training.per_device_train_batch_size, len(self.parts.sample)))
        train_rows, val_rows = open_rows(config) if names_rows(config) else (None, None)
        rows = None if train_rows is None else self.take(train_rows, size)
        val = None if val_rows is None else self.take(val_rows, ROWS)
        own = load_part(config, "trainer")
        asked = training.arguments if own is not None else train.choose_arguments(config)
        logs = {"logging_dir": str(self.place / "out" / "logs")} if "logging_dir" in asked else {}
        asked = {**self.leave_out(asked), **logs, **_reduce(self.place / "out", steps, size)}
        small = {name: value for name, value in asked.items() if name in training.__struct_fields__}
        small |= {"output_dir": self.place / "out", "fp16": bool(asked.get("fp16")), "use_cpu": True}
        small_config = msgspec.structs.replace(
            config, training=msgspec.structs.replace(training, arguments=asked, **small)
        )
        collate = self.parts.collate if self.own_collator else self.parts.reference
        if self.processor is None:
            self.processor = load_processor(config)
        processor = self.processor
        if own is not None:
            trainer = own(small_config, processor.processor, self.adapted, collate, rows, val)
            return reduce_rows(trainer, size) if "rows" in self.parts.brings else trainer
        made = train.Parts(
            model=self.adapted, processor=processor, collator=collate, train_rows=rows, val_rows=val
        )  # fmt: skip
        return train.build_trainer(small_config, made)[0]

    def take(self, rows: Any, most: int) -> Any:
        """The first rows; of a model that had to be cut, shorter ones: with pages of A4 its rehearsal took half a minute.

        A trainer of the user's own is given them as they are: it may ask more of its rows than a list can do.
        """
        first = first_rows(rows, most)
        shorter: Any = Unknown(reason="")
        if self.parts.built.cut and len(first) and load_part(self.config, "trainer") is None:
            shorter = attempt(lambda: list(self.parts.shorten_rows([first[number] for number in range(len(first))])))
        return shorter if isinstance(shorter, list) else first

    def go_on(self, trainer: Any) -> None:
        """Back from the checkpoint for another step, at whose end the best one is loaded where the run does so."""
        notes = self.notes
        if notes.known.get("evaluation") is None:
            nothing = Unknown(reason="the run evaluates nothing")
            for stage in ("evaluation", "metrics", "wanted_metric"):
                notes.note(stage, nothing)
        if not loads_best(trainer.args):
            notes.note("best", "not asked")
        saved = sorted((self.place / "out").glob("checkpoint-*"))
        if notes.known.get("checkpoint") is None:
            notes.note("checkpoint", Unknown(reason="the run saves no checkpoint (save_strategy)"))
        if isinstance(notes.known["checkpoint"], Raised):
            notes.note("resume", Unknown(reason="writing the checkpoint raised, so that there is none to go on from"))
            return
        if not saved or getattr(trainer.args, "save_only_model", False):
            reason = (
                "save_only_model leaves nothing to resume from" if saved else "there is no checkpoint to resume from"
            )
            notes.note("resume", Unknown(reason=reason))
            return
        second = self.make(steps=2)
        if second is not None:
            notes.attempt("resume", lambda: second.train(resume_from_checkpoint=str(saved[0])))

    def end(self, trainer: Any) -> None:
        """The final save, as `train` does it."""
        final = self.place / FINAL
        self.notes.attempt("saving", lambda: self.adapted.save_pretrained(str(final)))
        self.notes.attempt("processor", lambda: self.processor.processor.save_pretrained(str(final)))
        self.end_saving(final)

    def end_saving(self, final: Path) -> None:
        """The generation configuration besides. What could not be saved whole is not left for a reader."""
        if any(isinstance(self.notes.known[stage], Raised) for stage in ("saving", "processor")):
            shutil.rmtree(final, ignore_errors=True)
        settings = getattr(unwrap(self.adapted)[0], "generation_config", None)
        if settings is None:
            self.notes.note("generation_config", "not asked")
        else:
            self.notes.attempt("generation_config", lambda: settings.save_pretrained(str(self.place / "whole")))


class HeldRun(Run):
    """The run of a command: the very trainer that was held."""

    is_ours = False

    def check_arguments(self) -> Any:
        self.notes.note("arguments", "done")  # the command made them before it was held
        self.notes.known["left_out"] = tuple(sorted(name for name in self.parts.held.asked if name in _NOT_HERE))  # type: ignore[attr-defined]
        return None

    def build(self, steps: int) -> Any:
        held = self.parts.held  # type: ignore[attr-defined]
        trainer = held.trainer
        if steps == 1:
            size = max(1, min(held.batch_size, len(self.parts.sample)))
            reduce_rows(trainer, size)
            trainer.args.per_device_train_batch_size, trainer.args.per_device_eval_batch_size = size, 1
        else:
            trainer.optimizer, trainer.lr_scheduler = (*held.optimizers, None, None)[:2]
        return trainer

    def count_steps(self) -> int:
        return max(2, self.config.training.max_steps)

    def count_evaluated(self) -> int | Unknown:
        rows = self.parts.held.eval_rows  # type: ignore[attr-defined]
        return len(rows) if hasattr(rows, "__len__") else Unknown(reason="the evaluation rows cannot be counted")

    def end(self, trainer: Any) -> None:
        final = self.place / FINAL
        self.notes.attempt("saving", lambda: trainer.save_model(str(final)))
        processor = self.parts.held.processor  # type: ignore[attr-defined]
        if processor is None:
            self.notes.note("processor", "not asked")
        else:
            self.notes.attempt("processor", lambda: processor.save_pretrained(str(final)))
        self.end_saving(final)


# ---- the sizes


def reduce_rows(trainer: Any, size: int) -> Any:
    """The trainer, with as many of its own rows as a batch has and ROWS to evaluate on."""
    trainer.train_dataset = first_rows(trainer.train_dataset, size)
    if trainer.eval_dataset is not None and not isinstance(trainer.eval_dataset, Mapping):
        trainer.eval_dataset = first_rows(trainer.eval_dataset, ROWS)
    return trainer


def first_rows(rows: Any, most: int) -> Any:
    """The first rows, in the form that the trainer was given them in."""
    if hasattr(rows, "select"):
        return rows.select(range(min(most, len(rows))))
    if hasattr(rows, "__getitem__") and hasattr(rows, "__len__"):
        return torch.utils.data.Subset(rows, range(min(most, len(rows))))
    return rows


def _reduce(out: Path, steps: int, size: int) -> dict[str, Any]:
    return {
        "output_dir": str(out), "max_steps": steps, "save_steps": 1, "eval_steps": 1, "logging_steps": 1, "eval_delay": 0,
        "gradient_accumulation_steps": 1, "per_device_train_batch_size": size, "per_device_eval_batch_size": 1,
        "dataloader_num_workers": 0, "dataloader_prefetch_factor": None, "dataloader_persistent_workers": False,
        "use_cpu": True, "disable_tqdm": True,
    }  # fmt: skip


def shorten(arguments: Any, out: Path, steps: int) -> None:
    """The same in arguments that are made already: a factory may have written numbers of its own into them."""
    for name in ("save_steps", "eval_steps", "logging_steps"):
        setattr(arguments, name, 1)
    arguments.output_dir, arguments.max_steps, arguments.eval_delay = str(out), steps, 0
    arguments.dataloader_num_workers, arguments.dataloader_pin_memory = 0, False
    arguments.dataloader_prefetch_factor, arguments.dataloader_persistent_workers = None, False  # both are of workers


def quieten(trainer: Any, notes: Notes) -> None:
    """Take off the integrations that would call a service: they were built, which is all that can be done here."""
    from transformers.integrations import get_reporting_integration_callbacks

    reporting = tuple(get_reporting_integration_callbacks(trainer.args.report_to or []))
    for kind in reporting:
        if kind.__name__ not in _LOCAL and trainer.pop_callback(kind) is not None:
            notes.add("left_out", f"report_to ({kind.__name__})")
    for callback in trainer.callback_handler.callbacks:
        if isinstance(
            getattr(callback, "logging_dir", None), str
        ):  # a check lets it write below the run's folder alone
            callback.logging_dir = str(Path(trainer.args.output_dir) / "logs")


def _needs_card(raised: Raised) -> bool:
    return any(word in raised.message.lower() for word in _CARD)


# ---- the stages inside a step


def loads_best(arguments: Any) -> bool:
    return bool(getattr(arguments, "load_best_model_at_end", False))


def name_metric(arguments: Any) -> str | None:
    """What evaluation has to call the metric that checkpoints or the schedule are judged by; None where there is none."""
    wanted = getattr(arguments, "metric_for_best_model", None)
    return None if wanted is None else wanted if wanted.startswith("eval_") else f"eval_{wanted}"


def watch(trainer: Any, notes: Notes, evaluated: int | Unknown) -> None:
    """Have each stage of this trainer write down how it ended, and pass over what it raised."""
    _watch_evaluation(trainer, notes, evaluated)
    _watch_callbacks(trainer, notes)
    for stage, method in (("checkpoint", "_save_checkpoint"), ("best", "_load_best_model")):
        if (original := getattr(trainer, method, None)) is not None:
            setattr(trainer, method, _passed_over(notes, stage, original))


def _passed_over(notes: Notes, stage: str, original: Callable[..., Any]) -> Callable[..., Any]:
    def work(*given: Any, **named: Any) -> Any:
        ended = notes.attempt(stage, lambda: original(*given, **named))
        return None if isinstance(ended, Raised) else ended

    return work


def _watch_evaluation(trainer: Any, notes: Notes, evaluated: int | Unknown) -> None:
    original, compute = trainer.evaluate, trainer.compute_metrics

    def evaluate(*given: Any, **named: Any) -> dict[str, float]:
        ended = notes.attempt("evaluation", lambda: original(*given, **named))
        metrics = {} if isinstance(ended, Raised) else dict(ended or {})
        wanted = name_metric(trainer.args)
        if not isinstance(ended, Raised):
            notes.note("wanted_metric", wanted)
            notes.note("metrics", tuple(metrics))
        if wanted is not None:
            metrics.setdefault(wanted, 0.0)  # so that what comes behind is reached
        return metrics

    def measure(*given: Any, **named: Any) -> Any:
        kept = _weigh(given[:1])
        if kept.rows and not getattr(trainer.args, "batch_eval_metrics", False):
            notes.note(
                "kept",
                KeptOutputs(
                    rows=kept.rows,
                    bytes=kept.bytes,
                    all_rows=evaluated,
                    weights=sum(p.numel() * p.element_size() for p in trainer.model.parameters()),
                    host=psutil.virtual_memory().total,
                ),
            )
        return compute(*given, **named)

    trainer.evaluate = evaluate
    if compute is None:
        notes.note("kept", Unknown(reason="the run computes no metrics, so that no outputs are kept"))
    else:
        trainer.compute_metrics = measure


class _Weight(msgspec.Struct, frozen=True):
    rows: int
    bytes: int


def _weigh(given: Sequence[Any]) -> _Weight:
    """Rows and bytes of the arrays in an EvalPrediction."""
    predictions = getattr(given[0], "predictions", None) if given else None
    arrays = list(_list_arrays(predictions))
    return _Weight(max((len(a) for a in arrays if a.ndim), default=0), sum(a.nbytes for a in arrays))


def _list_arrays(value: Any) -> Iterator[numpy.ndarray[Any, Any]]:
    if isinstance(value, numpy.ndarray):
        yield value
    elif isinstance(value, tuple | list):
        for one in value:
            yield from _list_arrays(one)
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _list_arrays(one)


def _watch_callbacks(trainer: Any, notes: Notes) -> None:
    handler = trainer.callback_handler
    original = handler.call_event

    def call_event(event: str, args: Any, state: Any, control: Any, **named: Any) -> Any:
        try:
            return original(event, args, state, control, **named)
        except Exception as error:  # noqa: BLE001 (foreign code; kept and passed over)
            name = _name_callback(error, event)
            raised = describe_error(error)
            if raised.type == CLOSED_BY_US:
                notes.add("left_out", f"{name} ({raised.message})")
            else:
                notes.add("callbacks", FailedCallback(callback=name, event=event, raised=raised))
            notes.write()
            return control

    handler.call_event = call_event


def _name_callback(error: BaseException, event: str) -> str:
    """The class whose method for this event the exception came through."""
    trace = error.__traceback__
    name = "a callback"
    while trace is not None:
        owner = trace.tb_frame.f_locals.get("self")
        if trace.tb_frame.f_code.co_name == event and owner is not None and not hasattr(owner, "callbacks"):
            name = type(owner).__name__
        trace = trace.tb_next
    return name
