"""One check, from configuration to report: read, run what may be run, judge."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from preflight_ocr.harness.check.accelerator import find_obstacle, look_at_device
from preflight_ocr.harness.check.answers import read_answer
from preflight_ocr.harness.check.trust import NO_TRUST, is_foreign
from preflight_ocr.harness.config.packages import RUNNING, tell_absent
from preflight_ocr.harness.config.schema import Config
from preflight_ocr.harness.facts import (
    Adapter,
    Cause,
    Collator,
    Dataset,
    Fact,
    Facts,
    Forward,
    Learning,
    MemoryForecast,
    Processor,
    RoundTrip,
    Site,
    Tokenizer,
    Unknown,
)
from preflight_ocr.harness.facts.illustrations import Illustrations
from preflight_ocr.harness.home import is_ours
from preflight_ocr.harness.isolation import (
    ChildRaised,
    Died,
    Ending,
    Job,
    Limits,
    Returned,
    Sandbox,
    SandboxUnavailable,
)
from preflight_ocr.harness.isolation.closing import describe
from preflight_ocr.harness.isolation.scratch import own_folder
from preflight_ocr.harness.judging.failures import is_out_of_memory
from preflight_ocr.harness.judging.findings import Basis, Level
from preflight_ocr.harness.verdict.binding import Binding
from preflight_ocr.harness.verdict.contracts import choose, derive, judge_all
from preflight_ocr.harness.verdict.gate import Waiver
from preflight_ocr.harness.verdict.report import Report

Progress = Callable[[str], None]
Show = Callable[[Illustrations | Unknown], None]

# Modules that the children need, imported once in the warm process. Importing them runs no torch operation.
PRELOAD = (
    "torch",
    "transformers.modeling_utils",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.processing_auto",
    "transformers.models.auto.tokenization_auto",
    "peft",
    "accelerate",
    "PIL.Image",
    "preflight_ocr.probes.learning.learning",
    "preflight_ocr.probes.batch.processor",
)
SECONDS = 600.0  # for one child; a miniature needs a few, a cut 3 B model a minute or two
IN_ALL = 3  # times that, for all children of a check together
NOT_ASKED = "not run: --level read reads and runs nothing"
NOT_NEEDED = "not run: no chosen contract needs it"
PROBES = {  # the longest first
    "learning": "preflight_ocr.probes.learning.learning",
    "forward": "preflight_ocr.probes.forward.forward",
    "collator": "preflight_ocr.probes.batch.collator",
    "processor": "preflight_ocr.probes.batch.processor",
    "memory": "preflight_ocr.probes.rehearsal.forecast",
}
CHILDREN = ("learning", "forward", "collator", "processor")
"""Those of every check; what a step of the whole model holds is asked where there is a budget, or a page to show it."""
ILLUSTRATED = "preflight_ocr.probes.batch.illustrations"
NO_BUDGET = Unknown(
    reason="no step was rehearsed: budget.vram_gb is not set; set it, or type `preflight memory CONFIG` for the figure"
)
RAN = ("processor", "collator", "forward", "adapter", "learning", "memory")


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What some children would see, known from a check whose `facts` these are: those of `children` are not run again.

    It is for whoever can show that each of them would be the same computation; nothing here looks at that.
    """

    facts: Facts
    children: tuple[str, ...]


def check(
    config: Config,
    *,
    level: Level = "ran",
    trust: bool = False,
    only: tuple[str, ...] = (),
    waivers: tuple[Waiver, ...] = (),
    progress: Progress = lambda message: None,
    sandbox: Sandbox | None = None,
    seconds: float | None = None,
    together: int | None = None,
    known: Known | None = None,
    illustrated: bool = False,
    network: bool = False,
) -> Report:
    """Look, judge, decide. `only` keeps the given codes, names or families; `progress` is told what is being done.

    `seconds` is how long one child may take, SECONDS where it is None.
    `sandbox` is one already open, for whoever checks several projects and wants to pay for its imports once.
    `together` is how many children run at a time, as many as there are cores where it is None.
    `known` is what need not be run again. `illustrated` also has the pictures made that a page shows.
    `network` leaves the network open to foreign code.
    """
    # What is only read needs no child; anything else may look at whatever was run.
    reading = bool(only) and all(d.basis is Basis.READ for d in choose(only))
    shown: list[Illustrations | Unknown] = []
    trusted = msgspec.structs.replace(config.model, trust_remote_code=trust)
    # Bound before the first probe reads: what is swapped while the check runs must not be what is cleared.
    binding = Binding(msgspec.structs.replace(config, model=trusted), waivers) if level != "read" and not only else None
    touched: set[str] = set()
    openings: list[str] = []
    facts, timings = look(
        config,
        level=level,
        trust=trust,
        progress=progress,
        reading=reading,
        sandbox=sandbox,
        seconds=seconds,
        together=together,
        known=known,
        show=shown.append if illustrated else None,
        touched=touched,
        network=network,
        openings=openings,
    )
    progress("judging")
    with _timed(timings, "judge"):
        judgements = judge_all(derive(facts, only=only), facts)
    report = Report.build(
        facts,
        judgements,
        config=config.source,
        level=level,
        timings=timings,
        waivers=waivers,
        lines=config.lines,
        folders=(config.subject.path, *((directory,) if (directory := config.model.directory) else ())),
        bound=binding.settle(touched) if binding else None,
        openings=openings,
    )
    return msgspec.structs.replace(report, illustrations=shown[0]) if shown else report


def look(
    config: Config,
    *,
    level: Level = "ran",
    trust: bool = False,
    progress: Progress = lambda message: None,
    reading: bool = False,
    sandbox: Sandbox | None = None,
    seconds: float | None = None,
    together: int | None = None,
    known: Known | None = None,
    show: Show | None = None,
    touched: set[str] | None = None,
    network: bool = False,
    openings: list[str] | None = None,
) -> tuple[Facts, dict[str, float]]:
    """The facts, and how many seconds each probe took. With `reading`, nothing is run whatever the level.

    The files that the children opened or imported are added to `touched`, and what was open to them to `openings`.

    `show` is given what a page shows and no fact holds, if the collator is run; without it no picture is made.
    """
    timings: dict[str, float] = {}
    if level == "read" or reading:
        facts = read(config, progress=progress, timings=timings)
        return _without_runs(facts, Unknown(reason=NOT_ASKED if level == "read" else NOT_NEEDED)), timings
    with own_folder() as place, _use(sandbox, config, network) as opened:
        facts = read(config, progress=progress, timings=timings)
        if (reason := _forbid(config, facts, trust)) is not None:
            return _without_runs(facts, reason), timings
        limits = limit(SECONDS if seconds is None else seconds)
        facts = run(
            config,
            facts,
            opened,
            place,
            trust=trust,
            limits=limits,
            progress=progress,
            timings=timings,
            together=together,
            known=known,
            show=show,
            touched=touched,
        )
        if openings is not None and opened.closed is not None:
            openings.extend(describe(opened.closed))
        if level == "gpu" and (obstacle := find_obstacle(facts)) is None:
            progress("running: accelerator")
            alone = msgspec.structs.replace(limits, memory_bytes=limits.memory_bytes * count_together())
            facts, timings["run accelerator"] = look_at_device(
                config, facts, place, trust=trust, limits=alone, tell=_tell
            )
            return facts, timings
    reason = obstacle if level == "gpu" else Unknown(reason=f"--level {level} does not use an accelerator")
    return msgspec.structs.replace(facts, device=reason, accelerator=reason), timings


def read(config: Config, *, progress: Progress, timings: dict[str, float]) -> Facts:
    """Everything that files, JSON, AST and image headers tell. Executes nothing foreign, imports neither torch nor PEFT."""
    from preflight_ocr.probes.reading.configuration import look_at_configuration
    from preflight_ocr.probes.reading.dataset import look_at_dataset
    from preflight_ocr.probes.reading.environment import look_at_environment
    from preflight_ocr.probes.reading.exports import open_exports
    from preflight_ocr.probes.reading.processor_files import look_at_processor_files
    from preflight_ocr.probes.reading.repository import find_model_directory, look_at_repository
    from preflight_ocr.probes.reading.subject import look_at_subject
    from preflight_ocr.probes.reading.tokenizer import look_at_tokenizer

    sections: dict[str, Any] = {}

    def note(name: str, probe: Callable[[], Fact]) -> None:
        progress(f"reading: {name.replace('_', ' ')}")
        with _timed(timings, f"read {name}"):
            sections[name] = _guard(probe)

    exports = open_exports()
    directory = find_model_directory(config)
    note("environment", look_at_environment)
    note("configuration", lambda: look_at_configuration(config, exports))
    if isinstance(directory, Unknown):
        sections |= dict.fromkeys(("repository", "tokenizer", "processor_files"), directory)
    else:
        note("repository", lambda: look_at_repository(directory, exports))
        note("tokenizer", lambda: look_at_tokenizer(directory))
        note("processor_files", lambda: look_at_processor_files(directory, exports))
    note("subject", lambda: look_at_subject(config, exports))
    tokenizer = sections["tokenizer"]
    image = tokenizer.image.content if isinstance(tokenizer, Tokenizer) and tokenizer.image else None
    note("dataset", lambda: look_at_dataset(config, image))
    exports.save()  # what was indexed of the installed packages is there for the next check
    return Facts(**sections)


def run(
    config: Config,
    facts: Facts,
    sandbox: Sandbox,
    folder: Path,
    *,
    trust: bool,
    limits: Limits,
    progress: Progress,
    timings: dict[str, float],
    together: int | None = None,
    known: Known | None = None,
    show: Show | None = None,
    touched: set[str] | None = None,
) -> Facts:
    """Run the probes that execute code, each in a child of its own, `together` at a time; as many as there are cores."""

    def submit(name: str, function: str = "observe") -> Job:
        place = folder / name
        place.mkdir(exist_ok=True)
        arguments = {"config_path": str(config.source), "trust": trust, "folder": str(place)}
        progress(f"running: {name if function == 'observe' else function}")
        # The same child that looks at the collator draws what it gives, where that is asked for.
        module = ILLUSTRATED if name == "collator" and show is not None else PROBES[name]
        # What one child may take is cut to what is left for all, so that the whole check has an end too.
        left = max(1.0, min(limits.seconds, deadline - time.monotonic()))
        cut = msgspec.structs.replace(limits, seconds=left)
        return sandbox.submit(f"{module}:{function}", arguments, limits=cut)

    endings: dict[str, Any] = {}
    deadline = time.monotonic() + IN_ALL * limits.seconds
    waiting = [name for name in CHILDREN if known is None or name not in known.children]
    if config.budget.vram_gb is not None or show is not None:
        waiting.append("memory")
    running: dict[str, Job] = {}
    cores = together or count_together()
    while waiting or running:
        while waiting and len(running) < cores:
            name = waiting.pop(0)
            running[name] = submit(name)
        name = _await_one(running)
        endings[name] = _collect(running[name])
        if touched is not None and not isinstance(ended := running[name].result(), Died):
            touched.update(ended.touched)
        timings[f"run {name}"] = round(endings[name][1], 3)
        del running[name]
        if name == "learning" and isinstance(endings[name][0], dict):
            # The same folder: the adapter that was saved there is loaded again by another process.
            running["reload"] = submit("learning", "reload")
    if show is not None and "collator" in endings:
        value = endings["collator"][0]
        show(value if isinstance(value, Unknown) else read_answer(value, Illustrations, "illustrations"))
    return _gather(facts, endings, known)


def _await_one(running: Mapping[str, Job]) -> str:
    """The first job that has ended, so that its core is free for another."""
    if len(running) == 1:
        (name,) = running
        running[name].result()
        return name
    while True:
        for name, job in running.items():
            if job.is_done:
                return name
        time.sleep(0.01)


def _gather(facts: Facts, endings: Mapping[str, tuple[Any, float]], known: Known | None = None) -> Facts:
    """Put what the children returned into the facts; a child that returned nothing leaves its reason."""

    def section(name: str, kind: Any, key: str | None = None) -> Any:
        if known is not None and name in known.children:
            return getattr(known.facts, key or name)
        value = endings[name][0]
        return value if isinstance(value, Unknown) else read_answer(value, kind, key)

    processor = section("processor", Processor)
    collator = section("collator", Collator, "collator")
    if isinstance(processor, Processor):
        processor = msgspec.structs.replace(processor, image_calls=_read_image_calls(collator, endings, known))
    learning = section("learning", Learning, "learning")
    if isinstance(learning, Learning) and "reload" in endings:
        round_trip = section("reload", RoundTrip)
        if not (isinstance(round_trip, Unknown) and _says_why(learning.round_trip)):
            learning = msgspec.structs.replace(learning, round_trip=round_trip)
    return msgspec.structs.replace(
        facts,
        processor=processor,
        collator=collator,
        forward=section("forward", Forward),
        adapter=section("learning", Adapter, "adapter"),
        learning=learning,
        memory=section("memory", MemoryForecast) if "memory" in endings else NO_BUDGET,
    )


def _read_image_calls(
    collator: Collator | Unknown, endings: Mapping[str, tuple[Any, float]], known: Known | None
) -> tuple[Site, ...]:
    """The calls that the collator's child noted; they are facts about the processor."""
    if "collator" not in endings:
        seen = known.facts.processor if known is not None else None
        return seen.image_calls if isinstance(seen, Processor) else ()
    if isinstance(collator, Unknown):
        return ()
    calls = read_answer(endings["collator"][0], tuple[Site, ...], "image_calls")
    return () if isinstance(calls, Unknown) else calls


def _says_why(round_trip: RoundTrip | Unknown) -> bool:
    """Whether the first process already knows why no adapter was saved."""
    return isinstance(round_trip, Unknown) and round_trip.cause != "awaits another process"


def _collect(job: Job) -> tuple[Any, float]:
    """A child's value and its seconds; how it ended otherwise, as a reason."""
    ended = job.result()
    return ended.value if isinstance(ended, Returned) else _tell(ended), ended.seconds


def _tell(ended: Ending) -> Unknown:
    """How a child ended that did not return, as a reason."""
    if isinstance(ended, ChildRaised) and is_out_of_memory(ended.type, ended.message):
        return Unknown(reason=f"the child ran out of the memory that it may use: {ended.message}", cause="no answer")
    if isinstance(ended, ChildRaised):
        cause: Cause = "our own failure" if _is_our_fault(ended) else "no answer"
        return Unknown(reason=f"{ended.type.rpartition('.')[2]}: {ended.message}", cause=cause)
    assert isinstance(ended, Died)
    return Unknown(reason=f"foreign code died: the process {ended.reason}", cause="foreign code died")


_ON_PURPOSE = ("ValueError", "LookupError", "OSError", "FileNotFoundError")  # what our code raises to say why not


def _is_our_fault(raised: ChildRaised) -> bool:
    """Whether an exception comes from a line of Preflight's own that did not mean to raise it."""
    if raised.type in _ON_PURPOSE or raised.type.startswith("preflight_ocr.") or not raised.frames:
        return False
    return is_ours(Path(raised.frames[-1].file))


def _forbid(config: Config, facts: Facts, trust: bool) -> Unknown | None:
    """Why nothing may or can be run; None where it may."""
    if isinstance(facts.repository, Unknown):
        return facts.repository
    if absent := tell_absent("running a model", RUNNING):
        return Unknown(reason=absent)
    if is_foreign(config, facts.repository) and not trust:
        return Unknown(reason=NO_TRUST)
    return facts.dataset if isinstance(facts.dataset, Unknown) else _require_rows(facts.dataset)


def _require_rows(dataset: Dataset) -> Unknown | None:
    return None if dataset.splits else Unknown(reason="data.train_path is not set, so there is no row to run")


def _without_runs(facts: Facts, reason: Unknown) -> Facts:
    return msgspec.structs.replace(facts, **dict.fromkeys((*RAN, "device", "accelerator"), reason))


def _guard(probe: Callable[[], Fact]) -> Fact:
    # One of the two doors: a probe that trips over somebody's files must not end the check.
    try:
        return probe()
    except Exception as error:  # noqa: BLE001
        return Unknown(reason=f"the probe failed: {type(error).__name__}: {error}", cause="our own failure")


@contextmanager
def _use(sandbox: Sandbox | None, config: Config, network: bool) -> Iterator[Sandbox]:
    """The sandbox that was given, or one of our own."""
    if sandbox is not None:
        yield sandbox
        return
    with open_sandbox(named=config.subject.environment, network=network) as own:
        yield own


def open_sandbox(preload: Sequence[str] = (), *, named: Sequence[str] = (), network: bool = False) -> Sandbox:
    """A sandbox with what the probes need: no accelerator, quiet libraries, most of the machine's memory.

    `preload` names modules that the children of this caller need besides; importing them must run no torch operation.
    `named` are variables that foreign code gets although their names say that they hold a secret; `network` leaves the
    network open.
    """
    return Sandbox(
        named=named,
        network=network,
        preload=(*PRELOAD, *preload),
        limits=limit(SECONDS),
        environment={
            "CUDA_VISIBLE_DEVICES": "",
            "TRANSFORMERS_VERBOSITY": "error",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        },
    )


def limit(seconds: float) -> Limits:
    """What one child may use: this long, and its share of nine tenths of the machine's memory."""
    return Limits(seconds=seconds, memory_bytes=int(0.9 * _physical_memory() / count_together()))


def count_together() -> int:
    """How many children run at a time."""
    return max(1, min(os.cpu_count() or 1, len(CHILDREN)))


def _physical_memory() -> int:
    """Bytes of memory in this machine; 16 GiB where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 16 << 30


@contextmanager
def _timed(timings: dict[str, float], name: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    timings[name] = round(time.perf_counter() - started, 3)


__all__ = ["Known", "SandboxUnavailable", "check", "look", "read", "run"]
