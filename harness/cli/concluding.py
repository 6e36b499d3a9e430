"""What a run leaves its user with: the adapter, how well it reads, and what to type next."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from preflight_ocr.harness.cli.advice import shorten
from preflight_ocr.harness.facts.run import find_rates, read_readings, read_record

if TYPE_CHECKING:
    from preflight_ocr.harness.config.schema import Config
    from preflight_ocr.harness.facts.run import RunRecord, SampleReading


def conclude(config: Config, *, html_path: Path | None = None) -> None:
    """Print one line: the adapter, its error rate, and the next command. Nothing where no adapter is on record."""
    record = read_record(config.training.output_dir)
    if record is None or record.adapter is None:
        return
    rate = tell_rate(record, read_readings(config.training.output_dir))
    command = choose_next(config, record, html_path=html_path)
    click.echo(f"Adapter: {shorten(Path(record.adapter))}, {rate}. Next: {command}")


def tell_rate(record: RunRecord, readings: tuple[SampleReading, ...]) -> str:
    """How well held-out rows are read; where nothing was read, what would have them read."""
    before, after = find_rates(record, readings)
    if after is not None:
        if before is None:
            return f"CER {after.cer:.3f} on {after.rows} held-out rows"
        from preflight_ocr.harness.training.scores import compare_edits

        change = compare_edits(before.edits, after.edits, before.characters)
        doubt = ", not told apart by them" if change.low <= 0 <= change.high else ""
        return f"CER {before.cer:.3f} -> {after.cer:.3f} on {after.rows} held-out rows{doubt}"
    if record.test_cer is not None:
        return f"CER {record.test_cer:.3f} on {record.test_rows} test rows"
    return f"CER not measured ({record.unread or 'the rows were not read with these weights'})"


def choose_next(config: Config, record: RunRecord, *, html_path: Path | None = None) -> str:
    """The command that measures the adapter; that reads pages with it where no held-out rows are named."""
    adapter = shlex.quote(shorten(Path(record.adapter or config.training.output_dir / "adapter")))
    if not record.is_declared:
        return f"peft.PeftModel.from_pretrained(model, {adapter!r}) in your own program: no declared family fits this model"
    source = shlex.quote(shorten(config.source))
    trust = " --trust" if config.model.trust_remote_code else ""
    if config.data.test_path is None and config.data.val_path is None:
        loaded = f" --config {source}" if config.subject.model is not None else ""
        return f"preflight predict --adapter {adapter}{loaded}{trust} PAGES -o read.jsonl"
    split = " --split val" if config.data.test_path is None else ""
    page = shlex.quote(shorten(name_evaluation(config, html_path)))
    return f"preflight evaluate {source} --adapter {adapter}{split}{trust} --html {page}"


def name_evaluation(config: Config, html_path: Path | None) -> Path:
    """Where the page of `evaluate` goes: beside the run's page, else beside the adapter."""
    if html_path is None or not html_path.suffix:
        return config.training.output_dir / "evaluation.html"
    return html_path.with_name(f"{html_path.stem}-evaluation{html_path.suffix}")
