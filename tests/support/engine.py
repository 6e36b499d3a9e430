"""A stand-in for the engine, for tests of options, words and exit codes."""

from __future__ import annotations

import types

import msgspec

from preflight_ocr.harness.check.seen import Seen
from preflight_ocr.harness.facts import KeyFact
from preflight_ocr.harness.verdict.binding import Binding
from preflight_ocr.harness.verdict.contracts import derive, judge_all
from preflight_ocr.harness.verdict.report import Report
from tests.specimens import HEALTHY

UNKNOWN_KEY = {"configuration.unknown_keys": (KeyFact(path="lora.rank", nearest="lora.r", detail=""),)}
MISALIGNED = {
    "configuration.load_best_model_at_end": True,
    "configuration.eval_strategy": "steps",
    "configuration.save_steps": 500,
    "configuration.eval_steps": 300,
}


class Engine(types.ModuleType):
    """Stands in for `harness/check/check`: returns the facts it was given, and remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__("preflight_ocr.harness.check.check")
        self.facts = HEALTHY
        self.asked: list[dict] = []

    def check(
        self,
        config,
        *,
        level,
        trust,
        progress,
        only=(),
        waivers=(),
        seconds=None,
        illustrated=False,
        network=False,
        keeps=False,
        reuses=False,
        writes=(),
    ):
        self.asked.append(
            {
                "config": config,
                "level": level,
                "trust": trust,
                "only": only,
                "seconds": seconds,
                "illustrated": illustrated,
                "reuses": reuses,
                "writes": writes,
            }
        )
        progress("looking")
        judgements = judge_all(derive(self.facts, only=only), self.facts)
        report = Report.build(
            self.facts, judgements, config=config.source, level=level, timings={"read": 0.1}, waivers=waivers
        )
        return msgspec.structs.replace(report, bound=Binding(config, waivers).settle(()))

    def look(self, config, asked, *, progress):
        self.asked.append({"config": config, "level": asked.level, "trust": asked.trust})
        return Seen(facts=self.facts, timings={"read": 0.1})
