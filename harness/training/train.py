"""The training run, top to bottom: load, adapt, data, collator, Trainer, save."""

from __future__ import annotations

import logging
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import torch
import transformers

from preflight_ocr.harness.config import compat
from preflight_ocr.harness.config.errors import UserError
from preflight_ocr.harness.config.packages import find_absent, require
from preflight_ocr.harness.config.schema import Config
from preflight_ocr.harness.facts import history
from preflight_ocr.harness.families import Family, find_family
from preflight_ocr.harness.families.anatomy import unwrap
from preflight_ocr.harness.families.positions import find_positions
from preflight_ocr.harness.launched import find_place
from preflight_ocr.harness.training import checkpoints, spreading
from preflight_ocr.harness.training.adapter import attach
from preflight_ocr.harness.training.callbacks import EarlyStop, LogWriter, measure_memory, record_history
from preflight_ocr.harness.training.checkpointing import start_checkpointing
from preflight_ocr.harness.training.collate import Collator, build_collator
from preflight_ocr.harness.training.data import Rows, names_rows, open_rows
from preflight_ocr.harness.training.evaluate import Score, evaluate
from preflight_ocr.harness.training.lock import hold
from preflight_ocr.harness.training.meeting import Meeting, meet
from preflight_ocr.harness.training.model import (
    LoadedProcessor,
    find_directory,
    find_image_dtype,
    find_untrusted,
    load_model,
    load_processor,
)
from preflight_ocr.harness.training.reading_trainer import (
    FirstReading,
    Reading,
    ReadingTrainer,
    asked_metric,
    count_sample,
)
from preflight_ocr.harness.training.record import RunLog, find_adapter_step
from preflight_ocr.harness.training.redirects import Redirect, redirect_cuda
from preflight_ocr.harness.training.stopping import Stopper, TrainingStopped
from preflight_ocr.harness.training.subject import load_part

if TYPE_CHECKING:
    from preflight_ocr.harness.verdict.clearance import Clearance

LOG = logging.getLogger("preflight_ocr.harness.training")


_APPLIED_BY_US = ("resume_from_checkpoint", "gradient_checkpointing", "gradient_checkpointing_kwargs")
"""Fields that this module acts on itself, because Trainer's own way with them differs between versions."""


class TrainingError(UserError):
    """The run cannot start as configured."""


class TrainingResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a run did and where it put things. Losses are those that Trainer logged; None when it logged none."""

    output_dir: Path
    adapter_dir: Path
    log_file: Path
    steps: int
    first_loss: float | None
    last_loss: float | None
    eval_loss: float | None
    test_score: Score | None
    """How well the rows of data.test_path are read, where that is set."""
    stopped_early: bool
    resumed_from: Path | None
    seconds: float
    unused_arguments: tuple[str, ...]
    """Names in the file that the installed TrainingArguments has no place for."""
    redirects: tuple[Redirect, ...]
    """Where the model's code asked for an accelerator that this machine does not have."""
    was_finished: bool = False
    """Whether the run had done all its steps before, so that nothing was done now."""


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is made of, ours or the user's."""

    model: Any
    processor: LoadedProcessor
    collator: Any
    train_rows: Any
    val_rows: Any


def train(config: Config, *, clearance: Clearance | None = None) -> TrainingResult:
    """Train as configured and save the adapter, what prepares its text, the configuration and the clearance's digest.

    Everything is written below `output_dir`. Of several processes that one launcher started, each trains its part of the
    rows, and the first writes; only it needs the clearance. Raises UserError for code that nobody trusted, for a clearance
    that no longer holds, for a folder in which another run trains and for a part that cannot be built; TrainingStopped
    when a signal ended the run, with a checkpoint.
    """
    if code := find_untrusted(config):
        trusted = "read it, then set model.trust_remote_code: true"
        raise TrainingError(f"{code} is somebody's own code, and training runs it in this process: {trusted}")
    if clearance is not None and not clearance.still_holds(config):
        changed = ", ".join(clearance.changes(config)) or f"it says {clearance.verdict} at level {clearance.level}"
        raise TrainingError(f"the clearance of {clearance.issued} no longer holds ({changed}); run the check again")
    output_dir, started = config.training.output_dir, time.monotonic()
    with (
        meet() as meeting,
        hold(output_dir),
        write_log(output_dir / "logs" / "training.log") as log_file,
        run_anywhere() as redirects,
    ):
        start = choose_start(config, meeting)
        resumed_from = start.checkpoint
        if resumed_from is not None and start.is_finished:
            return tell_finished(config, resumed_from, log_file)
        transformers.set_seed(config.training.seed)
        # Before the model: its loading asks how the run is spread, on which card this process is, and what ZeRO-3 splits.
        settings = None if config.subject.trainer is not None else build_arguments(config)
        parts = load_parts(config)
        trainer, unused = build_trainer(config, parts, settings)
        spreading.warn_unsplit(trainer)
        spreading.refuse_unsavable(trainer)
        spreading.refuse_waiting(trainer, parts.train_rows)
        record_history(trainer, output_dir)
        reading = getattr(trainer, "reading", None)
        if isinstance(trainer, ReadingTrainer) and reading is not None:
            trainer.add_callback(FirstReading(trainer))  # behind the history, which begins anew at the same moment
        stopper = watch_signals(trainer)
        rows = "its trainer's own" if parts.train_rows is None else len(parts.train_rows)
        LOG.info("training %s on %s rows", config.model.base_model, rows)
        log = RunLog(
            config,
            trainer,
            clearance=clearance,
            resumed_from=resumed_from,
            began=started,
            unread="" if reading is not None else tell_unread(config, parts, is_split=spreading.is_split(trainer)),
            is_declared=isinstance(parts.collator, Collator) or is_declared(parts.model),
        )
        with log:
            with compat.allow_rng_state(), stopper.listen() if stopper else nullcontext():
                # A trainer of the user's need not know how to resume until it is asked to.
                trainer.train(**({"resume_from_checkpoint": str(resumed_from)} if resumed_from else {}))
            if stopper is not None and stopper.number and trainer.state.global_step < trainer.state.max_steps:
                raise tell_stopped(stopper.number, trainer.state.global_step, output_dir)
            adapter_dir, whole = output_dir / "adapter", spreading.join_weights(trainer)
            if find_place().is_first:
                save(config, parts, adapter_dir, clearance=clearance, weights=whole)
                LOG.info("saved %s", adapter_dir)
            log.note_adapter(adapter_dir, step=find_adapter_step(trainer))
            if isinstance(trainer, ReadingTrainer) and reading is not None:
                read_last(trainer, output_dir)
            if config.data.test_path is not None and spreading.is_split(trainer):
                LOG.warning(
                    "data.test_path is not scored: the model is split over the cards; type `preflight evaluate`"
                )
                test_score = None
            else:
                test_score = score_test_rows(config, parts)
            if test_score is not None:
                log.note_test(test_score.cer, rows=test_score.rows)
    record = log.record
    return TrainingResult(
        output_dir=output_dir,
        adapter_dir=adapter_dir,
        log_file=log_file,
        steps=record.steps,
        first_loss=record.first_loss,
        last_loss=record.last_loss,
        eval_loss=record.eval_loss,
        test_score=test_score,
        stopped_early=record.ending == "early",
        resumed_from=resumed_from,
        seconds=time.monotonic() - started,
        unused_arguments=unused,
        redirects=tuple(redirects),
    )


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """Where a run begins. `is_finished` where it has done all its steps, so that nothing is left to do."""

    checkpoint: Path | None = None
    is_finished: bool = False


def choose_start(config: Config, meeting: Meeting | None) -> Start:
    """Where to begin; the first of several processes chooses. Raises CheckpointError, TrainingError where it is not here."""
    if meeting is None or meeting.place.is_first:
        chosen = checkpoints.choose(config)
        has_adapter = (config.training.output_dir / "adapter").is_dir()
        ended = chosen is not None and has_adapter and checkpoints.is_finished(chosen, config)
        start = Start(checkpoint=chosen, is_finished=ended)
    if meeting is None:
        return start
    told = [str(start.checkpoint or ""), start.is_finished] if meeting.place.is_first else None
    path, ended = msgspec.json.decode(
        meeting.share("start", msgspec.json.encode(told) if told is not None else None), type=tuple[str, bool]
    )
    if path and not Path(path).is_dir():
        raise TrainingError(
            f"the run goes on from {path}, which this machine does not have; put training.output_dir into a folder that all "
            f"machines share"
        )
    return Start(checkpoint=Path(path) if path else None, is_finished=ended)


def tell_finished(config: Config, checkpoint: Path, log_file: Path) -> TrainingResult:
    """What a run is that had done all its steps before: nothing is loaded, nothing is written."""
    step = checkpoints.read_state(checkpoint).step
    LOG.warning("nothing to train: %s is at step %d, and no more are asked for", checkpoint, step)
    return TrainingResult(
        output_dir=config.training.output_dir,
        adapter_dir=config.training.output_dir / "adapter",
        log_file=log_file,
        steps=step,
        first_loss=None,
        last_loss=None,
        eval_loss=None,
        test_score=None,
        stopped_early=False,
        resumed_from=checkpoint,
        seconds=0.0,
        unused_arguments=(),
        redirects=(),
        was_finished=True,
    )


def watch_signals(trainer: Any) -> Stopper | None:
    """What ends the run behind a step when Ctrl-C or SIGTERM comes; None for a trainer that takes no callbacks."""
    add = getattr(trainer, "add_callback", None)
    if not callable(add):
        return None
    stopper = Stopper()
    add(stopper)
    return stopper


def read_last(trainer: ReadingTrainer, output_dir: Path) -> None:
    """Read the sample with the weights that were saved, where no evaluation has done so. Raises OSError."""
    step = find_adapter_step(trainer)
    if step in trainer.reading.read_at:
        return
    found = {f"eval_{name}": value for name, value in trainer.read_now(step).items()}
    LOG.info("step %d: %s", step, found)
    if find_place().is_first:
        memory, measured = measure_memory()
        history.note(output_dir, step, found, memory=memory, measured=measured)


def tell_unread(config: Config, parts: Parts, *, is_split: bool) -> str:
    """Why no held-out rows are read in training, and what would have them read."""
    if config.subject.trainer is not None:
        return "subject.trainer is a trainer of your own, which reads no rows; `preflight evaluate` does"
    if not isinstance(parts.collator, Collator):
        return "subject.collator builds batches with their targets only; `preflight evaluate` reads without it"
    if is_split:
        return "the model was split over the cards; `preflight evaluate` reads after the run"
    missing = "" if config.data.val_path is not None else "data.val_path and "
    return f"{missing}evaluation.sample would have held-out rows read before, in and after training"


def tell_stopped(number: int, step: int, output_dir: Path) -> TrainingStopped:
    checkpoint = output_dir / f"checkpoint-{step}"
    LOG.info("stopped by signal %d after step %d", number, step)
    return TrainingStopped(number, step, checkpoint if checkpoint.is_dir() else None)


def load_parts(config: Config, *, bare: torch.nn.Module | None = None) -> Parts:
    """Model with adapter, processor, collator and rows: our parts, or the user's where `subject` names one.

    `bare` is a model that is there already, in place of the one the configuration names.
    """
    train_rows, val_rows = open_rows(config) if names_rows(config) or config.subject.trainer is None else (None, None)
    bare = load_model(config) if bare is None else bare
    processor = load_processor(config)
    make = load_part(config, "collator")
    if make:
        collator = make(config, processor.processor, bare)
    elif config.subject.trainer is not None and not is_declared(bare):
        collator = None  # the trainer has to bring one
    else:
        collator = build_own_collator(config, bare, processor)
    model = attach(bare, config)
    if config.training.gradient_checkpointing:
        start_checkpointing(model, config.training.gradient_checkpointing_kwargs)
    return Parts(
        model=model,
        processor=processor,
        collator=collator,
        train_rows=train_rows,
        val_rows=val_rows,
    )


def build_own_collator(
    config: Config, model: torch.nn.Module, processor: LoadedProcessor, *, cached: bool = True
) -> Collator:
    """Our collator for this model; the family is found by what forward takes. `cached` as for `build_collator`."""
    inner = unwrap(model)[0]  # a wrapper of the user's may hide what forward takes
    family = recognise(inner)
    return build_collator(
        config,
        family=family,
        tokenizer=processor.tokenizer,
        processor=processor.processor,
        image_dtype=find_image_dtype(model),
        directory=find_directory(config),
        positions=find_positions(inner),
        cached=cached,
    )


def is_declared(model: torch.nn.Module) -> bool:
    """Whether there is a family for this model, so that our own collator can feed it."""
    return _find_family(unwrap(model)[0]) is not None


def _find_family(model: torch.nn.Module) -> Family | None:
    settings = getattr(model, "config", None)
    return find_family(compat.accepted_names(model.forward), settings.to_dict() if settings is not None else {})


def recognise(model: torch.nn.Module) -> Family:
    family = _find_family(model)
    if family is None:
        names = compat.accepted_names(model.forward)
        message = f"no declared family has a forward with {', '.join(sorted(names))}"
        raise TrainingError(f"{message}; name your own collator in subject.collator")
    return family


def build_arguments(config: Config) -> tuple[Any, tuple[str, ...]]:
    """TrainingArguments, and the names in the file that they have no place for. Several processes join each other here."""
    arguments, unused = compat.fit_training_arguments(
        choose_arguments(config), compat.accepted_names(transformers.TrainingArguments.__init__)
    )
    for name in unused:
        LOG.warning("the installed transformers has no TrainingArguments field %s; it has no effect", name)
    try:
        settings = transformers.TrainingArguments(**arguments)
    except ValueError as error:
        raise TrainingError(
            f"transformers refuses the training section: {error}; correct it in {config.source}"
        ) from None
    spreading.refuse_lonely(settings)
    return settings, unused


def build_trainer(
    config: Config, parts: Parts, settings: tuple[Any, tuple[str, ...]] | None = None
) -> tuple[Any, tuple[str, ...]]:
    """The Trainer and the names in the file that it has no place for. `settings` are what `build_arguments` gave before."""
    make = load_part(config, "trainer")
    if make is not None:
        rows = parts.train_rows, parts.val_rows
        return make(config, parts.processor.processor, parts.model, parts.collator, *rows), ()
    arguments, unused = build_arguments(config) if settings is None else settings
    early, watched = config.early_stopping, f"eval_{asked_metric(config) or 'loss'}"
    keywords = {
        "model": parts.model,
        "args": arguments,
        "data_collator": parts.collator,
        "train_dataset": parts.train_rows,
        "eval_dataset": parts.val_rows,
        "processing_class": parts.processor.processor,
        "callbacks": [LogWriter(), *([EarlyStop(early.patience, early.threshold, watched)] if early else [])],
    }
    accepted = compat.accepted_names(transformers.Trainer.__init__)
    fitted, _ = compat.fit_keywords(keywords, accepted, compat.RENAMED_KEYWORDS)
    trainer = ReadingTrainer(**fitted)
    trainer.reading = open_reading(config, parts, is_split=spreading.is_split(trainer))
    return trainer, unused


def open_reading(config: Config, parts: Parts, *, is_split: bool = False) -> Reading | None:
    """What is read at each evaluation, None for nothing. `is_split`: each process has a part of the weights.

    Raises TrainingError where it is asked for and cannot be.
    """
    sample = count_sample(config)
    if not sample or parts.val_rows is None:
        return None
    key = "evaluation.sample" if config.evaluation.sample else "training.metric_for_best_model"
    require(f"eval_cer ({key})", ("jiwer",))
    if not isinstance(parts.collator, Collator):
        raise TrainingError(
            f"{key} asks for reading in training, and subject.collator builds batches with their targets only; "
            f"remove one of the two"
        )
    if is_split:
        raise TrainingError(
            f"{key} asks for reading in training, and FSDP or ZeRO-3 splits the model; remove {key}, and type "
            f"`preflight evaluate` after the run"
        )
    return Reading(config, parts.collator, parts.val_rows, sample)


def choose_arguments(config: Config) -> dict[str, Any]:
    """TrainingArguments under the names of the file, with our defaults where the file says nothing."""
    training = config.training
    arguments = {
        name: value for name, value in training.arguments.items() if compat.modern_name(name) not in _APPLIED_BY_US
    }
    has_rows = config.data.val_path is not None or config.subject.dataset is not None
    strategy = training.eval_strategy
    if not has_rows:
        if strategy != "no":
            raise TrainingError(f"eval_strategy is {strategy!r} without rows to evaluate; set data.val_path")
        if config.early_stopping is not None:
            raise TrainingError("early_stopping needs rows to evaluate; set data.val_path")
    defaults: dict[str, Any] = {
        "output_dir": str(training.output_dir),
        "logging_dir": str(training.output_dir / "logs" / "tensorboard"),
        "report_to": "none" if find_absent(("tensorboard",)) else "tensorboard",
        "logging_steps": max(1, min(10, training.save_steps if training.save_steps >= 1 else 10)),
        # Rows are opened by the collator: Trainer would drop every column that forward does not name, the image first.
        "remove_unused_columns": False,
        # A PEFT wrapper without a task type hides forward's own names from Trainer.
        "label_names": ["labels"],
        "prediction_loss_only": True,
        "dataloader_pin_memory": torch.cuda.is_available(),
    }
    defaults |= spreading.choose_defaults()
    if config.early_stopping is not None and strategy == "no" and "eval_strategy" not in arguments:
        strategy = "steps"
        defaults |= {"eval_strategy": strategy, "eval_steps": training.save_steps}
    same_rhythm = strategy == training.save_strategy and strategy != "no"
    eval_steps = training.eval_steps or training.save_steps
    if config.early_stopping is not None and same_rhythm and training.save_steps % eval_steps == 0:
        # What is saved is then the best adapter, not the one of the last, fruitless evaluations.
        defaults["load_best_model_at_end"] = True
    if training.load_best_model_at_end or "load_best_model_at_end" in defaults:
        defaults |= {"metric_for_best_model": "eval_loss", "greater_is_better": False}
    if asked_metric(config) is not None:
        if not has_rows:
            raise TrainingError("metric_for_best_model is a rate of held-out rows; set data.val_path")
        defaults["greater_is_better"] = False
    given = {compat.modern_name(name) for name in arguments}
    return {**{name: value for name, value in defaults.items() if name not in given}, **arguments}


def save(
    config: Config,
    parts: Parts,
    directory: Path,
    *,
    clearance: Clearance | None = None,
    weights: dict[str, torch.Tensor] | None = None,
) -> Path:
    """Write adapter, processor, configuration and provenance, whole or not at all.

    `weights` are those of the whole model, where this process has a part of it only.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".adapter-", dir=directory.parent))
    try:
        parts.model.save_pretrained(str(draft), **({} if weights is None else {"state_dict": weights}))
        parts.processor.processor.save_pretrained(str(draft))
        shutil.copyfile(config.source, draft / "config.yaml")
        versions = {name: version(name) for name in ("torch", "transformers", "peft")}
        provenance = {
            "base_model": config.model.base_model,
            "revision": config.model.revision,
            "facts_digest": clearance.facts_digest if clearance else None,
            "bound_to": clearance.bound_to if clearance else None,
            "versions": versions,
        }
        (draft / "preflight.json").write_bytes(msgspec.json.format(msgspec.json.encode(provenance)))
        draft.chmod(0o755)
        if directory.exists():
            shutil.rmtree(directory)
        draft.replace(directory)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return directory


def score_test_rows(config: Config, parts: Parts) -> Score | None:
    """Read the rows of `data.test_path` with the trained model. Needs our collator, which can also build prompts."""
    if config.data.test_path is None:
        return None
    if not isinstance(parts.collator, Collator):
        LOG.warning("data.test_path is not scored: subject.collator builds batches with their targets only")
        return None
    score = evaluate(parts.model, parts.collator, Rows(config.data.test_path, split="test"))
    LOG.info("character error rate on %d test rows: %.3f", score.rows, score.cer)
    return score


@contextmanager
def write_log(path: Path) -> Iterator[Path]:
    """Our messages and transformers' go to `path` as UTF-8, whatever the console's code page is. One process writes."""
    if not find_place().is_first:
        yield path
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    loggers = [logging.getLogger(name) for name in ("preflight_ocr", "transformers")]
    level = loggers[0].level
    loggers[0].setLevel(logging.INFO)
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield path
    finally:
        loggers[0].setLevel(level)
        for logger in loggers:
            logger.removeHandler(handler)
        handler.close()


@contextmanager
def run_anywhere() -> Iterator[list[Redirect]]:
    """Where there is no accelerator, calls for one that the model's code has hard-coded go to the CPU."""
    if torch.cuda.is_available():
        yield []
        return
    with redirect_cuda() as redirects:
        yield redirects
