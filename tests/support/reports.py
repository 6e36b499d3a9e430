"""Reports made of specimens, for whoever looks at pages: real judgements, no model, a fraction of a second."""

from __future__ import annotations

import base64
import datetime
import importlib
import io
import math
from collections.abc import Iterable

import msgspec

from preflight_ocr.harness.facts import Facts
from preflight_ocr.harness.facts.history import Entry, RunHistory
from preflight_ocr.harness.facts.illustrations import Illustrations, Picture, RowIllustration, TokenText
from preflight_ocr.harness.facts.run import ReadText, RunRecord, SampleReading
from preflight_ocr.harness.judging.findings import Broken
from preflight_ocr.harness.verdict.contracts import Judgement, derive, judge_all
from preflight_ocr.harness.verdict.report import Report
from tests.specimens import HEALTHY

__all__ = ["SICK", "make_history", "make_illustrations", "make_report", "make_run_report"]

SICK = (
    "warmup_beyond_run", "broadcast_mask", "dropped_rows", "unmasked_prompt", "image_dtype_mismatch", "removed_api",
    "hard_coded_device",
)  # fmt: skip
"""Faults that can lie in one project, of every severity but the mildest."""


def make_report(faults: Iterable[str] = (), *, facts: Facts = HEALTHY, config: str = "config/run.yaml") -> Report:
    """What a check of `facts` says, with the findings that the specimens of these diagnoses have besides."""
    judged = {j.contract.id: j for j in judge_all(derive(facts), facts)}
    for fault in faults:
        sick = importlib.import_module(f"tests.specimens.{fault}").SICK
        judged |= {j.contract.id: j for j in judge_all(derive(sick), sick) if isinstance(j.outcome, Broken)}
    report = Report.build(
        facts,
        tuple(msgspec.structs.replace(j, seconds=0.001) for j in _order(judged.values())),
        config=config,
        level="ran",
        timings={"read": 0.25, "ran": 4.5},
    )
    return msgspec.structs.replace(report, illustrations=make_illustrations(), run=make_history())


def make_run_report() -> Report:
    """What a check says whose run has ended since: its page is headed by the run."""
    checked = datetime.datetime(2030, 1, 15, 11, 0, tzinfo=datetime.UTC)
    return msgspec.structs.replace(make_report(), checked=checked, seconds=30.0)


def make_illustrations(text: str = "дед ", name: str = "page.png") -> Illustrations:
    """Two rows with a page, its tiles and every token spelled: `text` for each target token, `name` for the page."""
    page = Picture(name=name, width=640, height=480, png=_draw(96, 72))
    whole = Picture(name="images[0][1]", width=256, height=256, png=_draw(96, 96), is_whole=True)
    tiles = tuple(
        Picture(name=f"images[0][0][{n}]", width=128, height=128, png=_draw(64, 64), clipped=0.02) for n in range(2)
    )
    tokens = ("<s>", *["<image>"] * 7, "\n", "Free", " OCR", ".", *[text] * 7, "<|end|>")
    spelled = tuple(TokenText(text=token) for token in tokens)
    row = RowIllustration(original=page, views=(whole, *tiles), columns=2, tokens=spelled)
    return Illustrations(
        rows=(row, RowIllustration(original=page, views=(whole,))), colours="Turned back with mean 0.5, std 0.5."
    )


def make_history(steps: int = 60) -> RunHistory:
    """A run that learns, with an evaluation every 20 steps and its memory."""
    entries = []
    for step in range(1, steps + 1):
        values: dict[str, float | None] = {
            "loss": 4.8 * math.exp(-step / 40) + 0.1 * math.sin(step),
            "learning_rate": 3e-4 * min(1.0, step / 6) * (1 - step / steps),
        }
        if step % 20 == 0:
            values["eval_loss"] = 4.9 * math.exp(-step / 50)
        entries.append(Entry(step=step, values=values, memory=900_000_000 + 1_000_000 * step, measured="resident"))
    written = datetime.datetime(2030, 1, 15, 12, 0, tzinfo=datetime.UTC)
    return RunHistory(
        source="outputs/logs/history.jsonl",
        written=written,
        entries=tuple(entries),
        record=RunRecord(
            config="config/run.yaml",
            base_model="somebody/model",
            output_dir="outputs",
            began=datetime.datetime(2030, 1, 15, 11, 30, tzinfo=datetime.UTC),
            ended=written,
            ending="finished",
            steps=steps,
            planned=steps,
            seconds=1800.0,
            first_loss=4.8,
            last_loss=1.1,
            eval_loss=1.5,
            adapter="outputs/adapter",
            adapter_step=steps,
            clearance="0123456789abcdef" * 4,
            cleared=datetime.datetime(2030, 1, 15, 11, 5, tzinfo=datetime.UTC),
            versions={"torch": "2.13.0", "transformers": "5.23.0"},
            resumed_from="outputs/checkpoint-20",
        ),
        readings=tuple(make_reading(step, steps) for step in range(0, steps + 1, 20)),
        next_command="preflight evaluate config/run.yaml --adapter outputs/adapter --html report-evaluation.html",
        evaluation_page="report-evaluation.html",
    )


def make_reading(step: int, steps: int = 60) -> SampleReading:
    """What was read after `step` steps of `steps`: as much of each text as was learnt by then."""
    texts = []
    for number, true in ((3, "Herr Müller\nBerlin, 1904"), (8, "дед пишет " + "оченьдлинноеслово" * 12)):
        kept = round(len(true) * step / steps)
        read = true[:kept] + "~" * min(9, len(true) - kept)
        texts.append(
            ReadText(
                number=number,
                image=f"rows/{number}.png",
                true=true,
                read=read,
                edits=len(true) - kept,
                characters=len(true),
            )
        )
    rate = 1 - step / steps
    return SampleReading(
        step=step,
        sample="0123456789abcdef",
        rows=64,
        cer=rate,
        wer=rate,
        edits=tuple(round(20 * rate) for _ in range(64)),
        characters=(20,) * 64,
        texts=tuple(texts),
    )


def _draw(width: int, height: int) -> str:
    from PIL import Image

    picture = Image.linear_gradient("L").resize((width, height)).convert("RGB")
    file = io.BytesIO()
    picture.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode("ascii")


def _order(judgements: Iterable[Judgement]) -> list[Judgement]:
    return sorted(judgements, key=lambda judgement: judgement.contract.diagnosis.code)
