"""`preflight check`, `probe`, `explain`, `list`: look at a project, or at the catalogue."""

from __future__ import annotations

import re
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click

from preflight_ocr.harness.cli.advice import say_next
from preflight_ocr.harness.cli.baseline import read_baseline, settle_exit
from preflight_ocr.harness.cli.commanding import require_command, say_remarks, watch_command
from preflight_ocr.harness.cli.fixing import fix
from preflight_ocr.harness.cli.options import (
    EPILOG,
    FILE,
    GIVEN_FILE,
    LEVEL,
    NETWORK,
    ROWS,
    SECONDS,
    TRUST,
    WAIVERS,
    CommandTail,
    Refusal,
    choose_detail,
    get_tail,
    preflight,
)
from preflight_ocr.harness.cli.steps import (
    attach_run,
    choose,
    issue,
    load,
    open_directory,
    read_accepted,
    run_check,
    run_look,
    save,
    show,
    write_all,
)
from preflight_ocr.harness.cli.watching import watch
from preflight_ocr.harness.foreign.files import is_folder
from preflight_ocr.harness.judging.findings import Level

if TYPE_CHECKING:
    from preflight_ocr.harness.config.schema import Config
    from preflight_ocr.harness.verdict.report import Report
    from preflight_ocr.reports.terminal import Detail


@preflight.command(cls=CommandTail, epilog=EPILOG, short_help="Check a YAML file or your training command.")
@click.argument("config_path", metavar="[CONFIG]", required=False, type=click.Path(path_type=Path))
@LEVEL
@TRUST
@click.option("--json", "json_path", type=FILE, help="Write the report as JSON.")
@click.option("--html", "html_path", type=FILE, help="Write the report as one HTML page.")
@click.option("--junit", "junit_path", type=FILE, help="Write the report as JUnit XML.")
@click.option("--sarif", "sarif_path", type=FILE, help="Write the report as SARIF 2.1.0, for code scanning.")
@click.option("--only", metavar="CODE,...", default="", help="Judge only these codes, names or families.")
@WAIVERS
@click.option(
    "--baseline",
    type=GIVEN_FILE,
    help="A report that --json wrote before, at the same level: only what is new since then, or became worse, fails.",
)
@click.option("--fix", "wants_fix", is_flag=True, help="Change in CONFIG what is safe to change, and print the diff.")
@click.option(
    "--unsafe-fixes",
    "wants_unsafe",
    is_flag=True,
    help="As --fix, and also set in CONFIG what the other findings propose, and delete keys that change nothing: it may "
    "not be what you want.",
)
@click.option(
    "--patch",
    "patch_path",
    type=FILE,
    help="As --fix, and write what can be mended in your Python as a patch for `git apply`, in place of printing it.",
)
@click.option(
    "--fresh",
    is_flag=True,
    help="Run every part, also those whose answer would be taken over from the last check.",
)
@click.option(
    "--watch", "watches", is_flag=True, help="Check again each time one of the files is saved; Ctrl-C ends it."
)
@SECONDS
@ROWS
@NETWORK
@choose_detail
@click.pass_context
def check(
    context: click.Context,
    config_path: Path | None,
    level: Level,
    trust: bool,
    json_path: Path | None,
    html_path: Path | None,
    junit_path: Path | None,
    sarif_path: Path | None,
    only: str,
    waivers: Path | None,
    baseline: Path | None,
    wants_fix: bool,
    wants_unsafe: bool,
    patch_path: Path | None,
    fresh: bool,
    watches: bool,
    seconds: float | None,
    rows: int | None,
    network: bool,
    detail: Detail,
) -> None:
    """Check the setup in the YAML file CONFIG, or your own training command, and print the verdict.

    `preflight check --trust -- python train.py --config x` runs that command, unchanged, up to where its training would
    begin, and looks at what it would train: no YAML file of ours is needed.
    """
    known = read_baseline(baseline)
    wants_fix = wants_fix or wants_unsafe or patch_path is not None
    if words := get_tail(context):
        if config_path is not None:
            raise Refusal(f"both {config_path} and a command behind `--` were given; give one of them")
        if watches:
            raise Refusal("--watch is for a YAML file: give the command behind `--` again by hand")
        if wants_fix:
            raise Refusal("--fix changes a YAML file; a command behind `--` has none of ours")
        require_command(words, trust=trust, level=level)
        watched = watch_command(
            words,
            only=choose(only),
            waivers=read_accepted(waivers),
            seconds=seconds,
            rows=rows,
            quiet=detail == "quiet",
        )
        say_remarks(watched)
        show(watched.report, detail)
        write_all(
            watched.report, json_path=json_path, html_path=html_path, junit_path=junit_path, sarif_path=sarif_path
        )
        say_next(watched.report, words=words, detail=detail)
        context.exit(settle_exit(watched.report, known))
    if config_path is None:
        raise Refusal(
            "give a YAML file, or your training command behind `--`: preflight check --trust -- python train.py"
        )
    if watches and wants_fix:
        raise Refusal("--watch checks what you save; give --fix without it")
    given = config_path

    def check_once() -> tuple[Config, Report]:
        config = load(given, trust=trust)
        report = run_check(
            config,
            level=level,
            only=choose(only),
            waivers=read_accepted(waivers),
            seconds=seconds,
            network=network,
            illustrated=html_path is not None,
            quiet=detail == "quiet",
            keeps=True,
            reuses=not fresh,
            writes=(json_path, html_path, junit_path, sarif_path, patch_path),
        )
        report = attach_run(config, report, html_path=html_path)
        show(report, detail)
        write_all(report, json_path=json_path, html_path=html_path, junit_path=junit_path, sarif_path=sarif_path)
        if level != "read" and not only:
            issue(config, report)
        return config, report

    if watches:
        watch(check_once, given)
    config, report = check_once()
    fixed = fix(config, report, unsafe=wants_unsafe, patch=patch_path) if wants_fix else ()
    say_next(report, config=config, detail=detail, fixed=fixed)
    context.exit(settle_exit(report, known))


@preflight.command("read-files", short_help="For pre-commit: read each of several YAML files.")
@click.argument("paths", metavar="CONFIG...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.pass_context
def read_files(context: click.Context, paths: tuple[Path, ...]) -> None:
    """Check each YAML file at level read, tell its verdict and findings in a line each, and exit with the worst code."""
    codes = []
    for path in paths:
        report = run_check(load(path), level="read", quiet=True)
        show(report, "quiet")
        codes.append(report.exit_code)
    context.exit(max(codes))


@preflight.command()
@click.argument("source", metavar="CONFIG|MODEL_DIR", type=click.Path(path_type=Path))
@click.option("--json", "json_path", type=FILE, help="Write the facts to this file instead of printing them.")
def probe(source: Path, json_path: Path | None) -> None:
    """Print what the probes see, as JSON, and judge nothing.

    Foreign code runs only where the YAML file says `trust_remote_code: true`; a model directory is only read.
    """
    import msgspec

    from preflight_ocr.harness import atomic

    config = open_directory(source) if is_folder(source) else load(source)
    text = msgspec.json.format(run_look(config).to_json(), indent=2) + b"\n"
    if json_path is None:
        click.echo(text.decode("utf-8"), nl=False)
    else:
        save(lambda: atomic.write_bytes(json_path, text), json_path)
        click.echo(f"Facts: {json_path}")


@preflight.command(short_help="Print what a diagnosis, or a family, means.")
@click.argument("code", metavar="CODE|NAME|FAMILY")
def explain(code: str) -> None:
    """Print what a diagnosis means, why it matters and what to do; of a family such as COL, its diagnoses."""
    import inspect
    import shutil

    from preflight_ocr.harness.diagnoses import catalogue, find
    from preflight_ocr.harness.judging.header import FAMILIES
    from preflight_ocr.harness.verdict.gate import nearest
    from preflight_ocr.reports.markdown import render
    from preflight_ocr.reports.terminal import wants_colour

    width, colour = min(shutil.get_terminal_size((100, 40)).columns, 110), wants_colour(sys.stdout)
    if (family := code.upper()) in FAMILIES:
        members = [m.DIAGNOSIS for m in catalogue() if m.DIAGNOSIS.code.startswith(family)]
        click.echo(f"{family}: {FAMILIES[family]}\n")
        longest = max(len(d.name) for d in members)
        for d in members:
            lead = f"{d.code}  {d.severity.value:<7}  {d.name:<{longest}}  "
            click.echo(textwrap.fill(d.contract, width, initial_indent=lead, subsequent_indent=" " * len(lead)))
        click.echo(f"\nOf one of them: preflight explain {members[0].code}")
        return
    module = find(code) or find(re.sub(r"(?<=[A-Za-z])\d{1,2}$", lambda number: number[0].zfill(3), code))
    if module is None:
        families = ", ".join(FAMILIES)
        raise Refusal(
            f"there is no diagnosis {code!r}{nearest(code)}\n"
            f"Type `preflight list` to see all of them, or a family: {families}"
        )
    diagnosis = module.DIAGNOSIS
    click.echo(f"{diagnosis.code} {diagnosis.name} ({diagnosis.severity.value}, {diagnosis.basis.value})\n")
    click.echo(render(inspect.cleandoc(module.__doc__ or ""), width=width, colour=colour), color=True)


@preflight.command("list", short_help="Print the catalogue of diagnoses.")
@click.option("--models", "wants_models", is_flag=True, help="Print the declared model families instead.")
def list_known(wants_models: bool) -> None:
    """Print the catalogue: every diagnosis with its severity and how it is known."""
    if wants_models:
        import shutil

        from preflight_ocr.reports.models import render

        click.echo(render(width=min(shutil.get_terminal_size((100, 40)).columns, 110)))
        return
    from preflight_ocr.harness.diagnoses import catalogue

    rows = [(d.code, d.name, d.severity.value, d.basis.value, d.contract) for d in (m.DIAGNOSIS for m in catalogue())]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(4)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        click.echo("  ".join([*cells, row[4]]))
