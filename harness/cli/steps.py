"""What several commands do: load, check, show, write, refuse. Heavy imports inside the functions."""

from __future__ import annotations

import contextlib
import functools
import importlib
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from preflight_ocr.harness.atomic import STANDARD_OUTPUT
from preflight_ocr.harness.cli.console import log_failure
from preflight_ocr.harness.cli.full_disk import RefuseFullDisk
from preflight_ocr.harness.cli.options import Refusal
from preflight_ocr.harness.foreign.files import is_file, is_there
from preflight_ocr.harness.judging.findings import Level
from preflight_ocr.harness.launched import find_place

if TYPE_CHECKING:
    from preflight_ocr.harness.config.schema import Config
    from preflight_ocr.harness.facts import Facts
    from preflight_ocr.harness.training.stopping import TrainingStopped
    from preflight_ocr.harness.verdict.clearance import Clearance
    from preflight_ocr.harness.verdict.gate import Waiver
    from preflight_ocr.harness.verdict.report import Report
    from preflight_ocr.reports.terminal import Detail


def load(path: Path, *, trust: bool = False) -> Config:
    """Read the configuration; `--trust` says the same as `trust_remote_code: true`."""
    from preflight_ocr.harness.config.config import load_config
    from preflight_ocr.harness.config.errors import ConfigError

    try:
        return load_config(path, trust=trust or None)
    except ConfigError as error:
        raise Refusal(str(error)) from None


def require(doing: str, modules: Iterable[str]) -> None:
    """Refuse, with the command to type, where a package is absent that `doing` needs."""
    from preflight_ocr.harness.config.packages import tell_absent

    if said := tell_absent(doing, modules):
        raise Refusal(said)


def require_for_training(config: Config) -> None:
    from preflight_ocr.harness.config import packages

    try:
        packages.require_for_training(config)
    except packages.PackageAbsent as error:
        raise Refusal(str(error)) from None


def open_directory(directory: Path) -> Config:
    from preflight_ocr.harness.config.config import build_config

    if not is_file(directory / "config.json"):
        raise Refusal(f"{directory}: seen a directory without config.json, expected a model directory or a YAML file")
    return build_config({"model": {"base_model": str(directory.absolute())}}, source=directory.absolute())


def choose(only: str) -> tuple[str, ...]:
    from preflight_ocr.harness.diagnoses import find
    from preflight_ocr.harness.judging.header import FAMILIES
    from preflight_ocr.harness.verdict.gate import nearest

    chosen = tuple(word.strip() for word in only.split(",") if word.strip())
    for word in chosen:
        if find(word) is None and word.upper() not in FAMILIES:
            raise Refusal(
                f"--only: there is no diagnosis or family {word!r}{nearest(word)}\nType `preflight list` to see all."
            )
    return chosen


def read_accepted(path: Path | None) -> tuple[Waiver, ...]:
    from preflight_ocr.harness.verdict.gate import GateError, read_waivers

    if path is None:
        return ()
    try:
        return read_waivers(path)
    except GateError as error:
        raise Refusal(str(error)) from None


def run_check(
    config: Config,
    *,
    level: Level = "ran",
    only: tuple[str, ...] = (),
    waivers: tuple[Waiver, ...] = (),
    seconds: float | None = None,
    illustrated: bool = False,
    network: bool = False,
    quiet: bool = False,
    keeps: bool = False,
    reuses: bool = False,
    writes: Iterable[Path | None] = (),
) -> Report:
    """`illustrated`: with the pictures that a page shows. `network`: left open to foreign code. `keeps`: what was seen
    is kept for the next check. `reuses`: it is taken over where nothing that was read has changed; `writes` are the files
    that this command writes."""
    from preflight_ocr.harness.check.check import check as check_config
    from preflight_ocr.harness.config.errors import ConfigError
    from preflight_ocr.harness.isolation import SandboxUnavailable
    from preflight_ocr.reports.terminal import Progress

    progress = Progress(quiet=quiet)
    try:
        return check_config(
            config,
            level=level,
            trust=config.model.trust_remote_code,
            only=only,
            waivers=waivers,
            progress=progress,
            seconds=seconds,
            illustrated=illustrated,
            network=network,
            keeps=keeps,
            reuses=reuses,
            writes=tuple(str(path) for path in writes if path is not None),
        )
    except (ConfigError, SandboxUnavailable) as error:
        raise Refusal(str(error)) from None
    finally:
        progress.clear()


def run_look(config: Config) -> Facts:
    """The facts, as far as the configuration allows foreign code to run."""
    from preflight_ocr.harness.check.asked import Asked
    from preflight_ocr.harness.check.check import look
    from preflight_ocr.harness.config.errors import ConfigError
    from preflight_ocr.harness.isolation import SandboxUnavailable
    from preflight_ocr.reports.terminal import Progress

    progress, trust = Progress(), config.model.trust_remote_code
    try:
        return look(config, Asked(level="ran" if trust else "read", trust=trust), progress=progress).facts
    except (ConfigError, SandboxUnavailable) as error:
        raise Refusal(str(error)) from None
    finally:
        progress.clear()


def show(report: Report, detail: Detail = "usual") -> None:
    import shutil

    from preflight_ocr.reports import terminal

    width = min(shutil.get_terminal_size((100, 40)).columns, 110)
    click.echo(
        terminal.render(report, colour=terminal.wants_colour(sys.stdout), width=width, detail=detail), color=True
    )


def write_all(
    report: Report,
    *,
    json_path: Path | None = None,
    html_path: Path | None = None,
    junit_path: Path | None = None,
    sarif_path: Path | None = None,
) -> None:
    """After the verdict is on the terminal, so that a folder that cannot be written costs nobody the result."""
    for kind, module, path in (
        ("JSON", "preflight_ocr.reports.json_writer", json_path),
        ("HTML", "preflight_ocr.reports.html", html_path),
        ("JUnit", "preflight_ocr.reports.junit", junit_path),
        ("SARIF", "preflight_ocr.reports.sarif", sarif_path),
    ):
        if path is not None:
            write = importlib.import_module(module).write
            save(functools.partial(write, report, path), path)
            click.echo(f"{kind}: {path}")


def attach_run(config: Config, report: Report, *, html_path: Path | None = None) -> Report:
    """The report with the last training run in `output_dir`, which a page draws. `html_path` is where that page goes."""
    import msgspec

    from preflight_ocr.harness.cli.concluding import choose_next, name_evaluation
    from preflight_ocr.harness.facts.history import RunHistory, read_history

    run = read_history(config.training.output_dir)
    if isinstance(run, RunHistory) and html_path is not None and run.record is not None and run.record.adapter:
        command = choose_next(config, run.record, html_path=html_path)
        page = name_evaluation(config, html_path).name if "preflight evaluate" in command else ""
        run = msgspec.structs.replace(run, next_command=command, evaluation_page=page)
    return msgspec.structs.replace(report, run=run)


def save(write: Callable[[], None], path: Path) -> None:
    try:
        write()
    except OSError as error:
        raise Refusal(f"{path}: cannot be written: {error.strerror or error}") from None


def refuse_unwritable(paths: Iterable[Path]) -> None:
    """Refuse before anything is done where a file could not be written when all is done. Missing folders are made."""
    import tempfile

    def attempt(path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():  # what is there already may be a pipe
            with tempfile.TemporaryFile(dir=path.parent):
                pass

    for path in paths:
        if path != STANDARD_OUTPUT:
            save(functools.partial(attempt, path), path)


@contextlib.contextmanager
def keep_first_failure() -> Iterator[None]:
    """A file that cannot be written is named, and does not take the place of what failed before it."""
    try:
        yield
    except Refusal as refusal:
        click.echo(refusal.format_message(), err=True)


def accept(config: Config, path: Path | None, *, waivers: tuple[Waiver, ...] = ()) -> Clearance | None:
    """The clearance at `path` while it still holds, else None, having said why. Without `path`, the project's own last."""
    from preflight_ocr.harness.check.trust import NO_TRUST, lacks_trust
    from preflight_ocr.harness.verdict.clearance import Clearance, find_last
    from preflight_ocr.harness.verdict.gate import GateError

    place = path or find_last(config)
    if not is_there(place):
        return None
    if lacks_trust(config):
        click.echo(f"{place} is not looked at: {NO_TRUST}", err=True)
        return None
    try:
        clearance = Clearance.read(place)
    except GateError as error:
        if path is None:  # ours, and damaged: the check writes it anew
            return None
        raise Refusal(str(error)) from None
    if clearance.still_holds(config, waivers=waivers):
        click.echo(f"Cleared on {clearance.issued:%Y-%m-%d %H:%M} UTC, and nothing changed since: {place}")
        return clearance
    changed = ", ".join(clearance.changes(config, waivers=waivers))
    changed = changed or f"it says {clearance.verdict} at level {clearance.level}"
    click.echo(f"{place} no longer holds ({changed}); checking again", err=True)
    return None


def issue(config: Config, report: Report, *places: Path) -> Clearance | None:
    """Write the clearance that the report gives, if it gives one, as the project's own last one and to `places`.

    A report that clears nothing takes the last one away: what it was given for was found to be otherwise.
    """
    from preflight_ocr.harness.verdict.clearance import Clearance, find_last
    from preflight_ocr.harness.verdict.gate import GateError

    last = find_last(config)
    if report.verdict != "clear" or report.bound is None or report.waiver_problems:
        with contextlib.suppress(OSError):
            last.unlink(missing_ok=True)
        return None
    try:
        clearance = Clearance.issue(
            report.bound, verdict=report.verdict, level=report.level, facts_digest=report.facts.digest()
        )
    except GateError as error:
        raise Refusal(str(error)) from None
    try:
        clearance.write(last)
    except OSError as error:  # a home that cannot be written costs a check the next time, and nothing else
        click.echo(f"{last}: cannot be written ({error.strerror or error}); the next run checks again", err=True)
    else:
        click.echo(f"Clearance: {last}")
    for place in places:
        save(functools.partial(clearance.write, place), place)
        click.echo(f"Clearance: {place}")
    return clearance


def start_training(config: Config, clearance: Clearance | None) -> None:
    """Train, and say how it ended. Without a clearance only in a process whose first one has it."""
    from preflight_ocr.harness.cli.console import calm_libraries
    from preflight_ocr.harness.config.errors import UserError

    if not sys.stderr.isatty():
        calm_libraries()
    from preflight_ocr.harness.training import spreading
    from preflight_ocr.harness.training.stopping import TrainingStopped
    from preflight_ocr.harness.training.train import train

    # From here on the model's and the user's own code runs in this process: what fails is not ours by rule.
    sys.excepthook = functools.partial(log_failure, what="Training failed", plea="")
    try:
        with RefuseFullDisk(config.training.output_dir, lambda: _tell_how_to_go_on(config)):
            result = train(config, clearance=clearance)
    except UserError as error:
        raise Refusal(str(error)) from None
    except TrainingStopped as stopped:
        if find_place().is_first:
            click.echo(_tell_stop(config, stopped), err=True)
        raise click.exceptions.Exit(128 + stopped.number) from None
    spreading.leave()
    if result.was_finished:
        more = "raise training.max_steps or training.num_train_epochs to go on"
        click.echo(
            f"Nothing to train: {result.resumed_from} is the end of this run; {more}. Adapter: {result.adapter_dir}"
        )
        return
    losses = "" if result.first_loss is None else f", loss {result.first_loss:.3f} -> {result.last_loss:.3f}"
    held_out = "" if result.eval_loss is None else f", {result.eval_loss:.3f} on held-out rows"
    click.echo(f"Trained {result.steps} steps{losses}{held_out}")


def _tell_how_to_go_on(config: Config) -> str:
    """What is there to go on from when a run has died."""
    from preflight_ocr.harness.training.checkpoints import explain_damage, list_newest_first

    found = list_newest_first(config.training.output_dir)
    whole = next((path for path in found if explain_damage(path, config) is None), None)
    if whole is None:
        return ". No checkpoint is whole. Make room, and give the same command again: training begins anew."
    key = "" if config.training.resume_from_checkpoint else "write `resume_from_checkpoint: true` below `training:` in "
    named = f"{key}{config.source}, and " if key else ""
    return f". {whole} is whole. Make room, {named}give the same command again: it goes on from there."


def _tell_stop(config: Config, stopped: TrainingStopped) -> str:
    said = str(stopped)
    if stopped.checkpoint is None:
        return f"\nTraining {said}. No checkpoint was saved."
    key = "`resume_from_checkpoint: true` below `training:`"
    return (
        f"\nTraining {said}. Saved: {stopped.checkpoint}\n"
        f"To go on: write {key} in {config.source}, and give the same command again."
    )
