"""`preflight fuzz`, `corpus`, `write-tests`: try a project, or Preflight itself."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import click

from preflight_ocr.harness.cli.commanding import choose_subject, say_remarks, watch_command
from preflight_ocr.harness.cli.options import FILE, SECONDS, TRUST, CommandTail, Refusal, get_tail, preflight
from preflight_ocr.harness.cli.steps import load, require, run_look


@preflight.command(cls=CommandTail, short_help="Try generated rows on the collator.")
@click.argument("config_path", metavar="[CONFIG]", required=False, type=click.Path(path_type=Path))
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
    config_path: Path | None,
    trust: bool,
    examples: int,
    seconds: float | None,
    directory: Path,
    replayed: Path | None,
) -> None:
    """Try generated rows on the collator of CONFIG and keep the smallest that break a promise.

    Pages of every size and mode, texts of every script with control tokens typed inside them. Needs Hypothesis. With your
    training command behind `--`, its own rows get these pictures and texts.
    Exits with 11 where a promise was broken.
    """
    from preflight_ocr.harness.commands.fuzz.command import fuzz as try_rows
    from preflight_ocr.harness.commands.fuzz.command import fuzz_command
    from preflight_ocr.harness.config.errors import UserError
    from preflight_ocr.harness.isolation import SandboxUnavailable
    from preflight_ocr.reports.terminal import Progress

    words, progress = get_tail(context), Progress()
    path = choose_subject(config_path, words, trust=trust)
    config = load(path, trust=trust) if path else None
    try:
        if config is None:
            found = fuzz_command(
                words, folder=directory, examples=examples, seconds=seconds, replayed=replayed, progress=progress
            )
        else:
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
        again = (
            f"{path} --replay {broken.folder}" if path else f"--replay {broken.folder} --trust -- {shlex.join(words)}"
        )
        click.echo(f"  again: preflight fuzz {again}")
    ending = ", stopped when the time was over" if found.out_of_time else ""
    count = len(found.broken)
    said = f"{count} promise{'s' * (count > 1)} broken" if count else "every promise held"
    click.echo(f"{said}: {found.tried} samples tried, {found.taken} became a batch, {found.seconds:.0f} s{ending}")
    context.exit(found.exit_code)


@preflight.command(short_help="Plant every known fault; see what the check finds.")
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

    from preflight_ocr.harness.config.packages import RUNNING

    require("the corpus", RUNNING)
    from preflight_ocr.fixtures.corpus import find_faults, find_patterns
    from preflight_ocr.fixtures.corpus.models import find_miniatures
    from preflight_ocr.harness.commands.corpus.run import run_corpus
    from preflight_ocr.harness.commands.corpus.table import describe, summarise, write_results

    known = {*(model.name for model in find_miniatures()), *(fault.id for fault in (*find_faults(), *find_patterns()))}
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


@preflight.command("write-tests", cls=CommandTail, short_help="Write the contract as tests that need no Preflight.")
@click.argument("config_path", metavar="[CONFIG]", required=False, type=click.Path(path_type=Path))
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
@click.pass_context
def write_tests(context: click.Context, config_path: Path | None, directory: Path, trust: bool) -> None:
    """Write the contract of this model as pytest tests that run without Preflight.

    With your training command behind `--`, the tests run that program themselves, up to where its training would begin, and
    look at its own model, collator and rows.
    """
    from preflight_ocr.harness.commands import contract_tests as ghostwriter
    from preflight_ocr.harness.config.packages import RUNNING

    words = get_tail(context)
    path = choose_subject(config_path, words, trust=trust)
    require("writing the tests", RUNNING)  # they are written from a batch that was seen
    try:
        if path is None:
            written = _write_tests_of_command(words, directory)
        else:
            config = load(path, trust=trust)
            written = ghostwriter.write_tests(run_look(config), config, directory)
    except ghostwriter.NotEnoughFacts as error:
        raise Refusal(str(error)) from None
    except OSError as error:
        raise Refusal(f"{directory}: cannot be written: {error.strerror or error}") from None
    for file in written:
        click.echo(f"Written: {file}")
    click.echo(f"Run them: pytest {directory}")


def _write_tests_of_command(words: Sequence[str], directory: Path) -> tuple[Path, ...]:
    """The tests that hold a command. Raises as the ghostwriter does."""
    from preflight_ocr.harness.check.command import read_held_config
    from preflight_ocr.harness.commands import contract_tests as ghostwriter

    watched = watch_command(words)
    say_remarks(watched)
    taken = watched.taken
    if not taken.at or taken.program is None:
        raise Refusal("the tests are written from what the command would train with; correct it, then try again")
    if not taken.at.endswith(ghostwriter.HOLDING):
        raise Refusal(
            f"the program was held at {taken.at}; the tests can hold one by themselves at Trainer.train and at "
            "Accelerator.prepare. Name its collator in a YAML file, and write the tests of that"
        )
    if found := [finding.code for finding in watched.report.findings]:
        click.echo(
            f"The tests are written from a batch with findings ({', '.join(dict.fromkeys(found))}): mend them first, and "
            "write the tests again.",
            err=True,
        )
    program = ghostwriter.Program(command=taken.program, folder=Path.cwd(), rows=min(taken.batch_size, 2))
    return ghostwriter.write_tests(watched.report.facts, read_held_config(taken), directory, program)
