"""The commands `preflight` and `run-training`. Thin: whatever is heavy is imported by the command that needs it."""

from __future__ import annotations

import functools
import importlib
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal

import click

if TYPE_CHECKING:
    from harness.config import Config
    from harness.facts import Facts
    from harness.gate import Clearance, Waiver
    from reports.report import Report

Level = Literal["read", "ran", "gpu"]

EPILOG = """\b
Exit codes:
   0  clear, or nothing worse than MINOR
  11  the worst finding is MAJOR
  12  the worst finding is BLOCKER
   2  usage or configuration error
   3  nothing could be judged, or nothing that was to be run could be run
   1  Preflight itself failed
"""

FILE = click.Path(dir_okay=False, path_type=Path)
CONFIG = click.argument("config_path", metavar="CONFIG", type=click.Path(path_type=Path))
TRUST = click.option("--trust", is_flag=True, help="Allow the model's and your own code to run (in isolated children).")
LEVEL = click.option(
    "--level",
    type=click.Choice(["read", "ran", "gpu"]),
    default="ran",
    show_default=True,
    help="read: no foreign code runs. ran: it runs on the CPU, isolated. gpu: on an accelerator too.",
)
SECONDS = click.option(
    "--seconds",
    type=click.FloatRange(min=1),
    help="How long each child that runs foreign code may take. [default: 600]",
)
WAIVERS = click.option("--waivers", type=FILE, help="YAML list of findings that are accepted for a while.")


class Refusal(click.ClickException):
    """Something the user has to put right before we can work: one message, exit code 2."""

    exit_code = 2


@click.group(epilog=EPILOG)
@click.version_option(package_name="preflight-ocr")
def preflight() -> None:
    """Find what would make fine-tuning an OCR vision-language model fail or learn nothing.

    Before a GPU hour is spent: `preflight check CONFIG` looks at the model, the data, the collator, the adapter and the
    installed versions, and names every defect with its root cause and its fix.
    """
    _prepare()


@preflight.command(epilog=EPILOG)
@CONFIG
@LEVEL
@TRUST
@click.option("--json", "json_path", type=FILE, help="Write the report as JSON.")
@click.option("--html", "html_path", type=FILE, help="Write the report as one HTML page.")
@click.option("--junit", "junit_path", type=FILE, help="Write the report as JUnit XML.")
@click.option("--only", metavar="CODE,...", default="", help="Judge only these codes, names or families.")
@WAIVERS
@SECONDS
@click.pass_context
def check(
    context: click.Context,
    config_path: Path,
    level: Level,
    trust: bool,
    json_path: Path | None,
    html_path: Path | None,
    junit_path: Path | None,
    only: str,
    waivers: Path | None,
    seconds: float | None,
) -> None:
    """Check the setup in the YAML file CONFIG and print the verdict."""
    config = _load(config_path, trust=trust)
    report = _check(config, level=level, only=_choose(only), waivers=_read_waivers(waivers), seconds=seconds)
    _print(report)
    _write(report, json_path=json_path, html_path=html_path, junit_path=junit_path)
    context.exit(report.exit_code)


@preflight.command()
@click.argument("source", metavar="CONFIG|MODEL_DIR", type=click.Path(path_type=Path))
@click.option("--json", "json_path", type=FILE, help="Write the facts to this file instead of printing them.")
def probe(source: Path, json_path: Path | None) -> None:
    """Print what the probes see, as JSON, and judge nothing.

    Foreign code runs only where the YAML file says `trust_remote_code: true`; a model directory is only read.
    """
    import msgspec

    from harness import atomic

    config = _open_directory(source) if source.is_dir() else _load(source)
    text = msgspec.json.format(_look(config).to_json(), indent=2) + b"\n"
    if json_path is None:
        click.echo(text.decode("utf-8"), nl=False)
    else:
        _save(lambda: atomic.write_bytes(json_path, text), json_path)
        click.echo(f"Facts: {json_path}")


@preflight.command()
@click.argument("source", metavar="CONFIG|MODEL_DIR", type=click.Path(path_type=Path))
@click.option("--json", "json_path", type=FILE, help="Write the window as JSON as well.")
def window(source: Path, json_path: Path | None) -> None:
    """Print which releases of transformers, peft and accelerate the code can work with, by reading it.

    Reads the model's remote code and your own parts; runs nothing and needs none of these libraries installed.
    """
    import shutil

    import msgspec

    from harness import atomic
    from harness.errors import UserError
    from harness.window import read_window
    from harness.window.terminal import render

    try:
        found = read_window(source if source.is_dir() else _load(source))
    except UserError as error:
        raise Refusal(str(error)) from None
    click.echo(render(found, width=min(shutil.get_terminal_size((100, 40)).columns, 110)))
    if json_path is not None:
        _save(lambda: atomic.write_bytes(json_path, msgspec.json.format(msgspec.json.encode(found)) + b"\n"), json_path)
        click.echo(f"JSON: {json_path}")


@preflight.group()
def index() -> None:
    """The index of what each release of transformers, peft and accelerate exports, which `window` reads."""


@index.command()
@click.option(
    "--package",
    "packages",
    multiple=True,
    type=click.Choice(["transformers", "peft", "accelerate"]),
    help="Only this library. Can be given several times.",
)
def update(packages: tuple[str, ...]) -> None:
    """Add the releases that came out since: their wheels are downloaded and read, nothing in them is installed or run."""
    from harness.errors import UserError
    from harness.window.releases import PACKAGES
    from harness.window.update import update as bring_up_to_date

    try:
        for package in packages or PACKAGES:
            [done] = bring_up_to_date([package], progress=lambda message: click.echo(message, err=True))
            said = f"{', '.join(done.added)} added" if done.added else "nothing newer"
            instead = f" in place of {', '.join(done.dropped)}" if done.dropped else ""
            click.echo(f"{package}: {said}{instead}; {done.count} releases, up to {done.newest}")
    except UserError as error:
        raise Refusal(str(error)) from None


@preflight.command(epilog=EPILOG)
@click.argument(
    "text_path",
    metavar="[FILE]",
    default="-",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
)
@click.argument("config_path", metavar="[CONFIG]", required=False, type=click.Path(path_type=Path))
@LEVEL
@TRUST
@SECONDS
@click.option("--vocabulary", type=click.IntRange(min=2), metavar="N", help="How many tokens the model knows.")
@click.option(
    "--json", "json_path", type=FILE, help="Write the answer as JSON; - for standard output, in place of text."
)
@click.pass_context
def diagnose(
    context: click.Context,
    text_path: Path,
    config_path: Path | None,
    level: Level,
    trust: bool,
    seconds: float | None,
    vocabulary: int | None,
    json_path: Path | None,
) -> None:
    """Name the diagnosis behind a pasted traceback or a training log.

    Reads FILE, or standard input without one or for `-`. With a CONFIG beside it, the contracts that the text points at
    are run to confirm it, as `preflight check` runs them.
    """
    import shutil

    import msgspec

    from harness import atomic
    from harness.triage import confirm, diagnose, read_vocabulary
    from harness.triage.terminal import render

    if config_path is None and text_path.suffix.lower() in (".yaml", ".yml"):
        raise Refusal(
            f"{text_path}: seen a CONFIG, expected a log in front of it; type `preflight diagnose - {text_path}`"
        )
    config = _load(config_path, trust=trust) if config_path else None
    if str(text_path) == "-" and sys.stdin.isatty():
        click.echo("Paste the traceback or the log, then Ctrl-D (on Windows Ctrl-Z and Enter).", err=True)
    with click.open_file(str(text_path), "rb") as stream:
        size = vocabulary or (read_vocabulary(config) if config else None)
        answer = diagnose(stream, source=str(text_path), vocabulary=size, config=str(config_path or "CONFIG"))
    if answer.is_empty:
        raise Refusal(f"{text_path}: nothing to read; paste a traceback or give a log")
    if config is not None:
        answer = confirm(answer, lambda codes: _check(config, level=level, only=codes, seconds=seconds).judgements)
    if str(json_path) != "-":
        click.echo(render(answer, width=min(shutil.get_terminal_size((100, 40)).columns, 110)))
    if json_path is not None:
        text = msgspec.json.format(msgspec.json.encode(answer), indent=2) + b"\n"
        if str(json_path) == "-":
            click.echo(text.decode("utf-8"), nl=False)
        else:
            _save(lambda: atomic.write_bytes(json_path, text), json_path)
            click.echo(f"JSON: {json_path}")
    context.exit(answer.exit_code)


@preflight.command()
@click.argument("code", metavar="CODE|NAME")
def explain(code: str) -> None:
    """Print what a diagnosis means, why it matters and what to do."""
    import inspect

    from harness.diagnoses import find
    from harness.gate import nearest

    module = find(code)
    if module is None:
        raise Refusal(f"there is no diagnosis {code!r}{nearest(code)}\nType `preflight list` to see all of them.")
    diagnosis = module.DIAGNOSIS
    click.echo(f"{diagnosis.code} {diagnosis.name} ({diagnosis.severity.value}, {diagnosis.basis.value})\n")
    click.echo(inspect.cleandoc(module.__doc__ or "").strip())


@preflight.command("list")
@click.option("--models", "wants_models", is_flag=True, help="Print the declared model families instead.")
def list_known(wants_models: bool) -> None:
    """Print the catalogue: every diagnosis with its severity and how it is known."""
    if wants_models:
        from reports.models import render

        click.echo(render())
        return
    from harness.diagnoses import catalogue

    rows = [(d.code, d.name, d.severity.value, d.basis.value, d.contract) for d in (m.DIAGNOSIS for m in catalogue())]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(4)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        click.echo("  ".join([*cells, row[4]]))


@preflight.command()
@CONFIG
@TRUST
@click.option(
    "--examples", type=click.IntRange(min=1), default=100, show_default=True, help="How many samples to draw."
)
@SECONDS
@click.option(
    "-o",
    "--output",
    "directory",
    metavar="DIR",
    default=Path("preflight-fuzz"),
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Where failing samples are kept.",
)
@click.option(
    "--replay",
    "replayed",
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    help="Try this kept sample again, and no other.",
)
@click.pass_context
def fuzz(
    context: click.Context,
    config_path: Path,
    trust: bool,
    examples: int,
    seconds: float | None,
    directory: Path,
    replayed: Path | None,
) -> None:
    """Try generated rows on the collator of CONFIG and keep the smallest that break a promise.

    Pages of every size and mode, texts of every script with control tokens typed inside them. Needs Hypothesis.
    Exits with 11 where a promise was broken.
    """
    from harness.errors import UserError
    from harness.fuzz.command import fuzz as try_rows
    from harness.isolation import SandboxUnavailable
    from reports.terminal import Progress

    config, progress = _load(config_path, trust=trust), Progress()
    try:
        found = try_rows(
            config,
            folder=directory,
            examples=examples,
            seconds=seconds,
            trust=config.model.trust_remote_code,
            replayed=replayed,
            progress=progress,
        )
    except (UserError, SandboxUnavailable) as error:
        raise Refusal(str(error)) from None
    except OSError as error:
        raise Refusal(f"{directory}: cannot be written: {error.strerror or error}") from None
    finally:
        progress.clear()
    for broken in found.broken:
        click.echo(f"{broken.promise}: {broken.seen}")
        click.echo(f"  smallest sample: {broken.sample}")
        click.echo(f"  kept in {broken.folder}")
        click.echo(f"  again: preflight fuzz {config_path} --replay {broken.folder}")
    ending = ", stopped when the time was over" if found.out_of_time else ""
    count = len(found.broken)
    said = f"{count} promise{'s' * (count > 1)} broken" if count else "every promise held"
    click.echo(f"{said}: {found.tried} samples tried, {found.taken} became a batch, {found.seconds:.0f} s{ending}")
    context.exit(found.exit_code)


@preflight.command()
@click.option("--json", "json_path", type=FILE, help="Write every trial as JSON.")
@click.option("--model", "models", metavar="NAME", multiple=True, help="Only this model. Can be given several times.")
@click.option("--fault", "faults", metavar="ID", multiple=True, help="Only this fault. Can be given several times.")
@click.option("--groups", default=0, type=click.IntRange(min=0), help="Also plant so many pairs and triples of faults.")
@click.option("--seed", default=20, show_default=True, help="What the groups are drawn with.")
@click.option(
    "--alone", is_flag=True, help="A project for each fault, not one for several; and a step of Trainer with each."
)
@click.option("--dry-run/--no-dry-run", default=True, help="Also let Trainer take one step, as you would without us.")
@click.option("--jobs", type=click.IntRange(min=1), help="Worker processes; one for each core where it is not given.")
@click.pass_context
def corpus(
    context: click.Context,
    json_path: Path | None,
    models: tuple[str, ...],
    faults: tuple[str, ...],
    groups: int,
    seed: int,
    alone: bool,
    dry_run: bool,
    jobs: int | None,
) -> None:
    """Plant every known fault in every small model and see whether each is found: the proof of the whole catalogue.

    Exits with 1 where a fault was missed or anything else was reported.
    """
    import difflib

    from fixtures.corpus import find_faults
    from fixtures.corpus.models import find_miniatures
    from fixtures.corpus.run import run_corpus
    from fixtures.corpus.table import describe, summarise, write_results

    known = {*(model.name for model in find_miniatures()), *(fault.id for fault in find_faults())}
    if unknown := [name for name in (*models, *faults) if name not in known]:
        close = difflib.get_close_matches(unknown[0], known, n=1, cutoff=0.4)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise Refusal(f"there is no model or fault {unknown[0]!r} in the corpus{hint}")
    run = run_corpus(
        models=models,
        faults=faults,
        groups=groups,
        seed=seed,
        alone=alone,
        dry_run=dry_run,
        jobs=jobs,
        progress=lambda trial: click.echo(describe(trial), err=trial.is_exact),
    )
    if json_path is not None:
        write_results(run, json_path)
    for line in summarise(run):
        click.echo(line)
    context.exit(0 if all(trial.is_exact for trial in run.trials) else 1)


@preflight.command("write-tests")
@CONFIG
@click.option(
    "-o",
    "--output",
    "directory",
    metavar="DIR",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the tests go.",
)
@TRUST
def write_tests(config_path: Path, directory: Path, trust: bool) -> None:
    """Write the contract of this model as pytest tests that run without Preflight."""
    from harness import ghostwriter

    config = _load(config_path, trust=trust)
    facts = _look(config)
    try:
        written = ghostwriter.write_tests(facts, config, directory)
    except ghostwriter.NotEnoughFacts as error:
        raise Refusal(str(error)) from None
    except OSError as error:
        raise Refusal(f"{directory}: cannot be written: {error.strerror or error}") from None
    for path in written:
        click.echo(f"Written: {path}")
    click.echo(f"Run them: pytest {directory}")


@preflight.command()
@click.option(
    "-o",
    "--output",
    "directory",
    metavar="DIR",
    default=Path("preflight-out"),
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Where pages, reports and the adapter go.",
)
@click.pass_context
def demo(context: click.Context, directory: Path) -> None:
    """Check a miniature DeepSeek-OCR on rendered handwriting, then train a LoRA adapter for a few steps."""
    from harness.demo import prepare

    try:
        config_path = prepare(directory)
    except OSError as error:
        raise Refusal(f"{directory}: cannot be written: {error.strerror or error}") from None
    click.echo(f"Configuration: {config_path}")
    config = _load(config_path)
    report = _check(config)
    _print(report)
    _write(report, json_path=directory / "report.json", html_path=directory / "report.html")
    if report.verdict == "refused":
        context.exit(report.exit_code or 1)
    clearance = _issue(config, report)
    click.echo("\nTraining a LoRA adapter for a few steps ...")
    _train(config, clearance)
    click.echo(f"\nEverything is in {directory}: the page to open first is {directory / 'report.html'}")


@click.command(epilog=EPILOG)
@click.option("--config", "config_path", required=True, type=FILE, help="The YAML file that says what to train.")
@click.option(
    "--clearance",
    "clearance_path",
    type=FILE,
    help="Accept this clearance while nothing it is bound to changed; otherwise check, and write it here.",
)
@TRUST
@WAIVERS
@click.version_option(package_name="preflight-ocr")
@click.pass_context
def run_training(
    context: click.Context, config_path: Path, clearance_path: Path | None, trust: bool, waivers: Path | None
) -> None:
    """Check the setup, refuse to train on a BLOCKER, and otherwise train."""
    _prepare()
    config = _load(config_path, trust=trust)
    accepted = _read_waivers(waivers)
    clearance = _accept(config, clearance_path) if clearance_path else None
    if clearance is None:
        report = _check(config, waivers=accepted)
        _print(report)
        if report.verdict == "refused" or report.waiver_problems:
            click.echo("\nTraining was not started.", err=True)
            context.exit(report.exit_code or 2)
        clearance = _issue(config, report, clearance_path)
    _train(config, clearance)


def _prepare() -> None:
    from reports.terminal import survive_code_pages

    survive_code_pages()
    sys.excepthook = _log_failure


def _log_failure(
    kind: type[BaseException],
    error: BaseException,
    trace: TracebackType | None,
    what: str = "Preflight itself failed",
    plea: str = "; please report it",
) -> None:
    """The interpreter's last resort: a short message, and the traceback in a file. Python then exits with 1."""
    name = f"preflight-{time.strftime('%Y%m%d-%H%M%S')}.log"
    text = "".join(traceback.format_exception(kind, error, trace))
    for folder in (Path("logs"), Path(tempfile.gettempdir())):
        try:
            folder.mkdir(exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
        except OSError:
            continue
        where = f"The traceback is in {folder / name}{plea}."
        break
    else:
        where = f"The traceback could not be written anywhere:\n{text}"
    click.echo(f"{what}: {kind.__name__}: {error}\n{where}", err=True)


def _load(path: Path, *, trust: bool = False) -> Config:
    """Read the configuration; `--trust` says the same as `trust_remote_code: true`."""
    import msgspec

    from harness.config import ConfigError, load_config

    try:
        config = load_config(path)
    except ConfigError as error:
        raise Refusal(str(error)) from None
    if not trust:
        return config
    return msgspec.structs.replace(config, model=msgspec.structs.replace(config.model, trust_remote_code=True))


def _open_directory(directory: Path) -> Config:
    from harness.config import build_config

    if not (directory / "config.json").is_file():
        raise Refusal(f"{directory}: seen a directory without config.json, expected a model directory or a YAML file")
    return build_config({"model": {"base_model": str(directory.absolute())}}, source=directory.absolute())


def _choose(only: str) -> tuple[str, ...]:
    from harness.diagnoses import find
    from harness.diagnosis import FAMILIES
    from harness.gate import nearest

    chosen = tuple(word.strip() for word in only.split(",") if word.strip())
    for word in chosen:
        if find(word) is None and word.upper() not in FAMILIES:
            raise Refusal(
                f"--only: there is no diagnosis or family {word!r}{nearest(word)}\nType `preflight list` to see all."
            )
    return chosen


def _read_waivers(path: Path | None) -> tuple[Waiver, ...]:
    from harness.gate import GateError, read_waivers

    if path is None:
        return ()
    try:
        return read_waivers(path)
    except GateError as error:
        raise Refusal(str(error)) from None


def _check(
    config: Config,
    *,
    level: Level = "ran",
    only: tuple[str, ...] = (),
    waivers: tuple[Waiver, ...] = (),
    seconds: float | None = None,
) -> Report:
    from harness.check import check as check_config
    from harness.config import ConfigError
    from harness.isolation import SandboxUnavailable
    from reports.terminal import Progress

    progress = Progress()
    try:
        return check_config(
            config,
            level=level,
            trust=config.model.trust_remote_code,
            only=only,
            waivers=waivers,
            progress=progress,
            seconds=seconds,
        )
    except (ConfigError, SandboxUnavailable) as error:
        raise Refusal(str(error)) from None
    finally:
        progress.clear()


def _look(config: Config) -> Facts:
    """The facts, as far as the configuration allows foreign code to run."""
    from harness.check import look
    from harness.config import ConfigError
    from harness.isolation import SandboxUnavailable
    from reports.terminal import Progress

    progress, trust = Progress(), config.model.trust_remote_code
    try:
        return look(config, level="ran" if trust else "read", trust=trust, progress=progress)[0]
    except (ConfigError, SandboxUnavailable) as error:
        raise Refusal(str(error)) from None
    finally:
        progress.clear()


def _print(report: Report) -> None:
    import shutil

    from reports import terminal

    width = min(shutil.get_terminal_size((100, 40)).columns, 110)
    click.echo(terminal.render(report, colour=terminal.wants_colour(sys.stdout), width=width), color=True)


def _write(
    report: Report, *, json_path: Path | None = None, html_path: Path | None = None, junit_path: Path | None = None
) -> None:
    """After the verdict is on the terminal, so that a folder that cannot be written costs nobody the result."""
    for kind, module, path in (
        ("JSON", "reports.json_writer", json_path),
        ("HTML", "reports.html", html_path),
        ("JUnit", "reports.junit", junit_path),
    ):
        if path is not None:
            write = importlib.import_module(module).write
            _save(functools.partial(write, report, path), path)
            click.echo(f"{kind}: {path}")


def _save(write: Callable[[], None], path: Path) -> None:
    try:
        write()
    except OSError as error:
        raise Refusal(f"{path}: cannot be written: {error.strerror or error}") from None


def _accept(config: Config, path: Path) -> Clearance | None:
    """The clearance at `path` while it still holds, else None, having said why."""
    from harness.gate import Clearance, GateError

    if not path.exists():
        return None
    try:
        clearance = Clearance.read(path)
    except GateError as error:
        raise Refusal(str(error)) from None
    if clearance.still_holds(config):
        click.echo(f"Cleared on {clearance.issued:%Y-%m-%d %H:%M} UTC, and nothing changed since: {path}")
        return clearance
    changed = ", ".join(clearance.changes(config)) or f"it says {clearance.verdict} at level {clearance.level}"
    click.echo(f"{path} no longer holds ({changed}); checking again", err=True)
    return None


def _issue(config: Config, report: Report, path: Path | None = None) -> Clearance:
    from harness.gate import Clearance

    clearance = Clearance.issue(config, verdict=report.verdict, level=report.level, facts_digest=report.facts.digest())
    place = path or config.training.output_dir / "clearance.json"
    _save(lambda: clearance.write(place), place)
    click.echo(f"Clearance: {place}")
    return clearance


def _train(config: Config, clearance: Clearance) -> None:
    from harness.errors import UserError
    from harness.training.train import train

    # From here on the model's and the user's own code runs in this process: what fails is not ours by rule.
    sys.excepthook = functools.partial(_log_failure, what="Training failed", plea="")
    try:
        result = train(config, clearance=clearance)
    except UserError as error:
        raise Refusal(str(error)) from None
    losses = "" if result.first_loss is None else f", loss {result.first_loss:.3f} -> {result.last_loss:.3f}"
    held_out = "" if result.eval_loss is None else f", {result.eval_loss:.3f} on held-out rows"
    click.echo(f"Trained {result.steps} steps{losses}{held_out}")
    click.echo(f"Adapter: {result.adapter_dir}")
    click.echo(f"Log: {result.log_file}")


if __name__ == "__main__":
    preflight()
