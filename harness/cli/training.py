"""`preflight demo`, `run-training`: check, and train once the way is clear."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import EPILOG, FILE, TRUST, WAIVERS, Refusal, preflight
from harness.cli.steps import accept, issue, load, prepare, read_accepted, run_check, show, start_training, write_all


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
    config = load(config_path)
    report = run_check(config)
    show(report)
    write_all(report, json_path=directory / "report.json", html_path=directory / "report.html")
    if report.verdict == "refused":
        context.exit(report.exit_code or 1)
    clearance = issue(config, report)
    click.echo("\nTraining a LoRA adapter for a few steps ...")
    start_training(config, clearance)
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
    prepare()
    config = load(config_path, trust=trust)
    accepted = read_accepted(waivers)
    clearance = accept(config, clearance_path) if clearance_path else None
    if clearance is None:
        report = run_check(config, waivers=accepted)
        show(report)
        if report.verdict == "refused" or report.waiver_problems:
            click.echo("\nTraining was not started.", err=True)
            context.exit(report.exit_code or 2)
        clearance = issue(config, report, clearance_path)
    start_training(config, clearance)
