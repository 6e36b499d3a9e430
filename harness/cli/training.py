"""`preflight demo`, `run-training`: check, and train once the way is clear."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from preflight_ocr.harness.cli.commanding import become, require_command, say_remarks, watch_command
from preflight_ocr.harness.cli.concluding import conclude
from preflight_ocr.harness.cli.console import prepare
from preflight_ocr.harness.cli.options import (
    EPILOG,
    FILE,
    GIVEN_FILE,
    NETWORK,
    ROWS,
    SECONDS,
    SHORT_HELP,
    TRUST,
    WAIVERS,
    CommandTail,
    Refusal,
    get_tail,
    preflight,
)
from preflight_ocr.harness.cli.ranks import decide_once, quieten_others
from preflight_ocr.harness.cli.steps import (
    accept,
    attach_run,
    issue,
    keep_first_failure,
    load,
    read_accepted,
    require,
    require_for_training,
    run_check,
    show,
    start_training,
    write_all,
)

if TYPE_CHECKING:
    from preflight_ocr.harness.config.schema import Config
    from preflight_ocr.harness.verdict.clearance import Clearance
    from preflight_ocr.harness.verdict.gate import Waiver
    from preflight_ocr.harness.verdict.report import Report


@preflight.command(short_help="Check a miniature, then train it for a few steps.")
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
    from preflight_ocr.harness.commands.demo import prepare
    from preflight_ocr.harness.config.packages import RUNNING

    require("the demonstration", RUNNING)
    try:
        config_path = prepare(directory)
    except OSError as error:
        raise Refusal(f"{directory}: cannot be written: {error.strerror or error}") from None
    click.echo(f"Configuration: {config_path}")
    config = load(config_path)
    report = run_check(config, illustrated=True)
    page = directory / "report.html"
    show(report)
    write_all(report, json_path=directory / "report.json", html_path=page)
    if report.verdict != "clear":
        context.exit(report.exit_code or 1)
    clearance = issue(config, report, config.training.output_dir / "clearance.json")
    if clearance is None:
        raise Refusal("nothing was cleared, so nothing is trained; run `preflight check` to see why")
    click.echo("\nTraining a LoRA adapter for a few steps ...")
    start_training(config, clearance)
    write_all(attach_run(config, report, html_path=page), html_path=page)
    conclude(config, html_path=page)
    click.echo(f"\nEverything is in {directory}: the page to open first is {page}")


@click.command(cls=CommandTail, epilog=EPILOG, context_settings=SHORT_HELP)
@click.option("--config", "config_path", type=GIVEN_FILE, help="The YAML file that says what to train.")
@click.option(
    "--clearance",
    "clearance_path",
    type=GIVEN_FILE,
    help="Accept this clearance, not the project's own last one, while it holds; otherwise check, and write it here.",
)
@click.option("--html", "html_path", type=FILE, help="Write check and run as one HTML page; implies a check.")
@TRUST
@WAIVERS
@SECONDS
@ROWS
@NETWORK
@click.version_option(package_name="preflight-ocr")
@click.pass_context
def run_training(
    context: click.Context,
    config_path: Path | None,
    clearance_path: Path | None,
    html_path: Path | None,
    trust: bool,
    waivers: Path | None,
    seconds: float | None,
    rows: int | None,
    network: bool,
) -> None:
    """Check the setup, refuse to train on a BLOCKER, and otherwise train.

    Nothing is checked again while the project's own last clearance holds, which `preflight check` writes too.

    Under torchrun or accelerate launch the first process checks, and all obey.

    `run-training --trust -- COMMAND...` checks your own training command and then runs it in place of this process, with
    its arguments and its environment untouched.
    """
    prepare()
    accepted: list[Waiver] = []
    if words := get_tail(context):
        if config_path is not None or clearance_path is not None:
            raise Refusal("a command behind `--` takes neither --config nor --clearance; leave them out")

        def watch(_: None) -> None:
            watched = watch_command(words, waivers=tuple(accepted), seconds=seconds, rows=rows)
            say_remarks(watched)
            show(watched.report)
            write_all(watched.report, html_path=html_path)
            if watched.report.verdict != "clear" or watched.report.waiver_problems:
                click.echo("\nTraining was not started.", err=True)
                context.exit(watched.report.exit_code or 2)

        def prepare_command() -> None:
            require_command(words, trust=trust)
            accepted.extend(read_accepted(waivers))

        decide_once(prepare_command, watch)
        become(words)
    if config_path is None:
        raise Refusal(
            "give --config YAML, or your training command behind `--`: run-training --trust -- python train.py"
        )
    source = config_path
    quieten_others()

    def prepare_config() -> Config:
        config = load(source, trust=trust)
        require_for_training(config)
        accepted.extend(read_accepted(waivers))
        return config

    def clear(config: Config) -> tuple[Clearance, Report | None]:
        """The clearance that there is, or that a check gives; with the report of that check."""
        found = accept(config, clearance_path, waivers=tuple(accepted)) if html_path is None else None
        if found is not None:
            return found, None
        report = run_check(config, waivers=tuple(accepted), illustrated=html_path is not None, network=network)
        show(report)
        write_all(attach_run(config, report, html_path=html_path), html_path=html_path)
        found = issue(config, report, clearance_path or config.training.output_dir / "clearance.json")
        if found is None:
            click.echo("\nTraining was not started.", err=True)
            context.exit(report.exit_code or 2)
        if report.findings:
            named = ", ".join(dict.fromkeys(finding.code for finding in report.findings))
            click.echo(
                f"Training starts although {named} stands: only a BLOCKER holds it back. Ctrl-C stops it.", err=True
            )
        return found, report

    config, cleared = decide_once(prepare_config, clear, waivers=accepted)
    clearance, report = cleared or (None, None)
    try:
        start_training(config, clearance)
    except BaseException:  # the curves of a run that failed or was stopped are those one wants to see
        if report is not None:
            with keep_first_failure():
                write_all(attach_run(config, report, html_path=html_path), html_path=html_path)
        raise
    if report is not None:
        write_all(attach_run(config, report, html_path=html_path), html_path=html_path)
    conclude(config, html_path=html_path)
