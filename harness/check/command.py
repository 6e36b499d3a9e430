"""One check of a training command, from its words to the report: hold, look, judge."""

from __future__ import annotations

import ast
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from preflight_ocr.harness.check.answers import WRONG_FORM, read_answer
from preflight_ocr.harness.check.children import gather as gather_answers
from preflight_ocr.harness.check.reading import read
from preflight_ocr.harness.check.sandboxes import count_together, limit
from preflight_ocr.harness.check.seen import Progress
from preflight_ocr.harness.check.taking_over import PROBES, TOLD, Taken
from preflight_ocr.harness.config.schema import Config
from preflight_ocr.harness.facts import Dataset, Facts, KeyFact, Unknown
from preflight_ocr.harness.facts.illustrations import Illustrations
from preflight_ocr.harness.isolation import ChildRaised, Died, Job, Returned, Sandbox
from preflight_ocr.harness.verdict.contracts import derive, judge_all
from preflight_ocr.harness.verdict.gate import Waiver
from preflight_ocr.harness.verdict.report import Report

SECONDS = 600.0  # for the command until it is held, and for each probe after that
IN_PROCESS = "preflight_ocr.check"
_SEEN = 120
NO_CARD = Unknown(reason="a held command is looked at on the CPU; --level gpu is for a YAML file so far")
_SETTINGS = {"LoraConfig": "lora", "TrainingArguments": "training", "Seq2SeqTrainingArguments": "training",
             "SFTConfig": "training", "from_pretrained": "model"}  # fmt: skip


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """A check of a command: its report, and what there is to say of the command itself."""

    report: Report
    taken: Taken

    @property
    def remarks(self) -> tuple[str, ...]:
        """How it was held, and what of it was not carried out, a line each."""
        taken = self.taken
        if not taken.at:
            return (f"Not held: {taken.ended} after {taken.own_seconds:.1f} s of your code.",)
        ours = sum(taken.seconds.values())
        lines = [f"Held at {taken.at} after {taken.own_seconds:.1f} s of your code; the probes took {ours:.1f} s."]
        if taken.launchers:
            lines.append(f"Taken off, so that one process is left: {'; '.join(taken.launchers)}")
        if taken.at != IN_PROCESS:
            lines.append("It ran with your own rights: its files and the network were open to it.")
        return (*lines, *taken.undone)


def check_command(
    words: Sequence[str],
    *,
    only: tuple[str, ...] = (),
    waivers: tuple[Waiver, ...] = (),
    progress: Progress = lambda message: None,
    seconds: float | None = None,
    rows: int | None = None,
    forks: bool | None = None,
) -> Watched:
    """Run the command up to its training in a child with limits, and judge what it holds.

    The caller has said that the command may run. `seconds` bounds the command until it is held, and each probe. `rows` has
    `datasets` prepare only so many. Without `forks` the command runs once for each probe, as where a process cannot be
    forked.
    """
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="preflight-") as folder:
        taken = watch(words, Path(folder), progress=progress, seconds=seconds or SECONDS, rows=rows, forks=forks)
        timings = {"your command": taken.own_seconds, **{f"run {k}": v for k, v in taken.seconds.items()}}
        if not taken.at:
            return Watched(report=_report_unheld(words, taken, timings, waivers), taken=taken)
        try:
            config = read_held_config(taken)
        except WRONG_FORM as error:
            taken = Taken(ended=_distrust(error), own_seconds=taken.own_seconds)
            return Watched(report=_report_unheld(words, taken, timings, waivers), taken=taken)
        facts, illustrations = gather(config, taken, progress=progress, timings=timings)
        progress("judging")
        report = judge(config, facts, illustrations, timings=timings, only=only, waivers=waivers)
        if config.source.is_relative_to(folder):  # the text of a notebook: its lines are in no file of the user's
            report = msgspec.structs.replace(report, config=shlex.join(words), lines={})
    return Watched(report=report.time(time.monotonic() - begun), taken=taken)


def read_held_config(taken: Taken) -> Config:
    """The run as the command set it up, in our form. Raises one of WRONG_FORM for what no run can be."""
    return msgspec.convert(taken.config, Config, strict=False, dec_hook=lambda kind, value: kind(value))


def visit_command(
    words: Sequence[str],
    target: str,
    arguments: Mapping[str, Any],
    *,
    progress: Progress = lambda message: None,
    seconds: float | None = None,
) -> Any:
    """What the function `target` ("module:function") finds in the parts of a held command, in a child of its own.

    It is called with the parts, a folder that is gone afterwards and `arguments`, and returns builtins. Returns Unknown
    with the reason where the command was not held, or the function raised.
    """
    with (
        tempfile.TemporaryDirectory(prefix="preflight-") as folder,
        Sandbox(preload=(), start_method="spawn", environment=QUIET, named=TOKENS, closed=False) as sandbox,
    ):
        asked = {"target": target, "arguments": dict(arguments)}
        forks = sys.platform == "linux"
        taken = _watch_once(sandbox, words, Path(folder), [], forks, progress, seconds or SECONDS, None, asked)
    if not taken.at:
        return Unknown(reason=f"the command was not held: {taken.ended}")
    return taken.answers["visit"] if "visit" in taken.answers else _say_why(taken, "visit")


def judge(
    config: Config,
    facts: Facts,
    illustrations: Illustrations | Unknown | None,
    *,
    timings: dict[str, float],
    only: tuple[str, ...],
    waivers: tuple[Waiver, ...],
) -> Report:
    """The report on what was seen; findings point into the command's own file."""
    begun = time.perf_counter()
    judgements = judge_all(derive(facts, only=only), facts)
    timings["judge"] = round(time.perf_counter() - begun, 3)
    report = Report.build(
        facts,
        judgements,
        config=config.source,
        level="ran",
        timings=timings,
        waivers=waivers,
        lines=find_lines(config),
        folders=(config.subject.path, Path(config.model.base_model)),
    )
    return report if illustrations is None else msgspec.structs.replace(report, illustrations=illustrations)


def watch(
    words: Sequence[str], folder: Path, *, progress: Progress, seconds: float, rows: int | None, forks: bool | None
) -> Taken:
    """Run the command in a child of its own, telling what it is at; what came of it."""
    # It is the user's own program: it writes its output folder and its caches, and may ask the hub for what it loads.
    with Sandbox(preload=(), start_method="spawn", environment=QUIET, named=TOKENS, closed=False) as sandbox:
        if (sys.platform == "linux") if forks is None else forks:
            return _watch_once(sandbox, words, folder, [*PROBES, "reload"], True, progress, seconds, rows)
        whole = Taken()
        for name in PROBES:
            place = folder / f"once {name}"
            place.mkdir()
            one = _watch_once(sandbox, words, place, [name], False, progress, seconds, rows)
            if not one.at:
                return one
            whole = msgspec.structs.replace(
                one,
                answers={**whole.answers, **one.answers},
                failures={**whole.failures, **one.failures},
                seconds={**whole.seconds, **one.seconds},
                own_seconds=round(whole.own_seconds + one.own_seconds, 2),
            )
        undone = (*whole.undone, "the command ran once for each probe: this system cannot fork a process")
        failures = {**whole.failures, "reload": ("the saved adapter was not loaded again", "not looked at")}
        return msgspec.structs.replace(whole, undone=undone, failures=failures)


TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")  # what the command needs to read its own model
QUIET = {
    "CUDA_VISIBLE_DEVICES": "",
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
}


def _watch_once(
    sandbox: Sandbox,
    words: Sequence[str],
    folder: Path,
    only: list[str],
    forks: bool,
    progress: Progress,
    seconds: float,
    rows: int | None,
    visit: dict[str, Any] | None = None,
) -> Taken:
    bounds = limit(seconds * (1 + len(only) + (visit is not None)))
    limits = msgspec.structs.replace(bounds, memory_bytes=bounds.memory_bytes * count_together())
    arguments = {
        "words": list(words),
        "folder": str(folder),
        "seconds": seconds,
        "rows": rows,
        "only": only,
        "forks": forks,
        "visit": visit,
    }
    job = sandbox.submit("preflight_ocr.harness.check.taking_over:serve", arguments, limits=limits)
    begun = time.monotonic()
    last = _follow(job, folder / TOLD, progress, begun, seconds)
    ending = job.result()
    own = round(time.monotonic() - begun, 2)
    if isinstance(ending, Returned):
        try:
            taken = msgspec.convert(ending.value, Taken)
        except WRONG_FORM as error:
            return Taken(ended=_distrust(error), own_seconds=own)
        return taken if taken.at else msgspec.structs.replace(taken, ended=taken.ended + _quote(ending.output))
    if isinstance(ending, ChildRaised):
        return Taken(ended=f"{ending.type}: {ending.message}", own_seconds=own)
    assert isinstance(ending, Died)
    if own >= seconds and "as asked" in ending.reason:
        said = f"it did not reach its training within {seconds:g} s, and was at: {last}; give --rows N, or --seconds"
        return Taken(ended=said, own_seconds=own)
    return Taken(ended=f"its process {ending.reason}, at: {last}" + _quote(ending.output), own_seconds=own)


def _distrust(error: Exception) -> str:
    """The command's process is foreign: what it answers may have been written by the command."""
    said = str(error) if len(str(error)) <= _SEEN else f"{str(error)[:_SEEN]}..."
    return f"your code changed what its process answers: a wrong form ({said})"


def _quote(output: str) -> str:
    """The last lines that the command printed, for one that was not held."""
    lines = [line.strip()[:200] for line in output.strip().splitlines() if line.strip()]
    return f"; it printed last: {' | '.join(lines[-3:])}" if lines else ""


def _follow(job: Job, told: Path, progress: Progress, begun: float, seconds: float) -> str:
    """Pass on what the command does; one that is not held in time is ended. The last thing that was told."""
    last, is_held = "starting", False
    while not job.is_done:
        lines = told.read_text(encoding="utf-8").splitlines() if told.is_file() else []
        is_held = is_held or any(line.startswith("held at ") for line in lines)
        if lines and lines[-1] != last:
            last = lines[-1]
            progress(last if is_held else f"your command: {last}")
        spent = time.monotonic() - begun
        if not is_held and spent > seconds:
            job.cancel()
            break
        time.sleep(0.1)
    return last


def gather(
    config: Config, taken: Taken, *, progress: Progress, timings: dict[str, float]
) -> tuple[Facts, Illustrations | Unknown | None]:
    """What is read of the files that the command named, and what the probes saw of its parts."""
    facts = read(config, progress=progress, timings=timings)
    answers: dict[str, Any] = {}
    for name in ("learning", "forward", "collator", "processor", "reload"):
        if name in taken.answers:
            answers[name] = taken.answers[name]
        elif name != "reload" or "learning" in taken.answers:
            answers[name] = _say_why(taken, name)
    facts = gather_answers(_add_lacking(_explain_steps(facts), taken), answers)
    rows = taken.answers.get("rows")
    dataset = _say_why(taken, "rows") if rows is None else read_answer(rows, Dataset)
    facts = msgspec.structs.replace(facts, dataset=dataset, device=NO_CARD, accelerator=NO_CARD)
    drawn = taken.answers.get("collator")
    if not isinstance(drawn, dict) or drawn.get("illustrations") is None:
        return facts, None
    return facts, read_answer(drawn, Illustrations, "illustrations")


def _add_lacking(facts: Facts, taken: Taken) -> Facts:
    """With the packages that the command's own loading asks for in vain."""
    configuration = facts.configuration
    if isinstance(configuration, Unknown) or isinstance(configuration.lacking_packages, Unknown):
        return facts
    more = tuple(
        KeyFact(path="from_pretrained", nearest=package, detail=value) for value, package in taken.lacking.items()
    )
    known = msgspec.structs.replace(configuration, lacking_packages=(*configuration.lacking_packages, *more))
    return msgspec.structs.replace(facts, configuration=known)


def _explain_steps(facts: Facts) -> Facts:
    """A command has no `data.train_path`: where its steps are not counted, the rows could not be, or only some were made."""
    configuration = facts.configuration
    if isinstance(configuration, Unknown) or not isinstance(configuration.total_steps, Unknown):
        return facts
    reason = Unknown(
        reason="the steps of the run are not known: its rows cannot be counted, or only some were prepared"
    )
    return msgspec.structs.replace(facts, configuration=msgspec.structs.replace(configuration, total_steps=reason))


def _say_why(taken: Taken, name: str) -> Unknown:
    """Why a probe has no answer."""
    reason, cause = taken.failures.get(name, ("it did not run", "not looked at"))
    try:
        return msgspec.convert({"fact": "Unknown", "reason": reason, "cause": cause}, Unknown)
    except msgspec.ValidationError as error:  # a cause that there is not: the command wrote it
        return Unknown(reason=_distrust(error), cause="foreign code died")


def _report_unheld(
    words: Sequence[str], taken: Taken, timings: Mapping[str, float], waivers: tuple[Waiver, ...]
) -> Report:
    """Nothing was held, so nothing is judged: the report says how the command ended instead."""
    where = "".join(f"\n  {file}:{line}: {code}" for file, line, code in taken.frames[-3:])
    reason = Unknown(reason=f"the command was not held: {taken.ended}{where}")
    names = [field.name for field in msgspec.structs.fields(Facts)]
    facts = Facts(**dict.fromkeys(names, reason))
    return Report.build(
        facts, judge_all(derive(facts), facts), config=shlex.join(words), level="ran", timings=timings, waivers=waivers
    )


def find_lines(config: Config) -> dict[str, int]:
    """Key -> the line of the command's own file that says it: where a finding about that key points."""
    try:
        tree = ast.parse(config.source.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return {}
    return dict(_walk_lines(tree, (config.subject.collator or "").partition(":")[2]))


def _walk_lines(tree: ast.Module, collator: str) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == collator:
            yield "subject.collator", node.lineno
        if not isinstance(node, ast.Call):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        section = _SETTINGS.get(called)
        if section is not None:
            yield section, node.lineno
            yield from ((f"{section}.{word.arg}", word.value.lineno) for word in node.keywords if word.arg)
