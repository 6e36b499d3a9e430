"""One check as plain data: what every writer writes."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from preflight_ocr.harness.facts import Facts, Unknown
from preflight_ocr.harness.facts.history import NO_RUN, RunHistory
from preflight_ocr.harness.facts.illustrations import Illustrations
from preflight_ocr.harness.judging.findings import (
    Broken,
    Crashed,
    Finding,
    Kept,
    Level,
    NotApplicable,
    Outcome,
    Skipped,
)
from preflight_ocr.harness.verdict.binding import Bound
from preflight_ocr.harness.verdict.contracts import Judgement
from preflight_ocr.harness.verdict.decision import Tone, Verdict, choose_tone, head
from preflight_ocr.harness.verdict.gate import Waiver, decide

_PACKAGES = (
    "torch", "torchvision", "transformers", "tokenizers", "peft", "accelerate", "safetensors", "huggingface-hub",
    "datasets", "trl", "bitsandbytes", "deepspeed", "flash-attn", "numpy", "pillow",
)  # fmt: skip

NOT_SHOWN = Unknown(reason="no pictures were made: they are made by a check that writes a page")


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict and everything behind it.

    `findings` are the unwaived root causes, worst first. `judgements` are all contracts in the order of their codes.
    `reason_why` is why the verdict is what it is, `ruled_exit` the exit code of the rule that decided (verdict/decision.py).
    `environment` is name -> version; `timings` is phase -> seconds. `lines` is dotted key -> its line
    in `config`, from 1; `folders` are the directories that places in findings are relative to. `illustrations` are
    what a page shows and nobody judges; `run` is the training run that a page draws.
    `bound` is what the verdict was found for; None where nothing can be cleared. `openings` are sentences on what was open
    to foreign code while it ran. `checked` is when the check began (UTC), `seconds` how long it took; None where nobody
    says. `reused` is part of the check -> when it was run, for those taken over (harness/check/recall).
    """

    verdict: Verdict
    findings: tuple[Finding, ...]
    judgements: tuple[Judgement, ...]
    facts: Facts
    level: Level
    config: str
    ruled_exit: int
    reason_why: str
    environment: dict[str, str] = {}
    timings: dict[str, float] = {}
    waived: tuple[Waiver, ...] = ()
    waiver_problems: tuple[str, ...] = ()
    lines: dict[str, int] = {}
    folders: tuple[Path, ...] = ()
    illustrations: Illustrations | Unknown = NOT_SHOWN
    run: RunHistory | Unknown = NO_RUN
    bound: Bound | None = None
    openings: tuple[str, ...] = ()
    reused: Mapping[str, datetime.datetime] = {}
    checked: datetime.datetime | None = None
    seconds: float | None = None

    @classmethod
    def build(
        cls,
        facts: Facts,
        judgements: Iterable[Judgement],
        *,
        config: str | Path,
        level: Level,
        timings: Mapping[str, float] | None = None,
        waivers: Iterable[Waiver] = (),
        today: datetime.date | None = None,
        lines: Mapping[str, int] | None = None,
        folders: Iterable[Path] = (),
        bound: Bound | None = None,
        openings: Iterable[str] = (),
        reused: Mapping[str, datetime.datetime] | None = None,
    ) -> Report:
        """Let the gate decide, and put everything together. `today` is the day waivers are held against."""
        judgements = tuple(judgements)
        changed = bound.changed if bound else ()
        decision = decide(judgements, waivers, facts=facts, level=level, today=today, changed=changed)
        return cls(
            verdict=decision.verdict,
            ruled_exit=decision.exit_code,
            reason_why=decision.reason,
            findings=decision.findings,
            judgements=judgements,
            facts=facts,
            level=level,
            config=str(config),
            environment=_describe_environment(facts),
            timings=dict(timings or {}),
            waived=decision.waived,
            waiver_problems=decision.problems,
            lines=dict(lines or {}),
            folders=tuple(folders),
            bound=bound,
            openings=tuple(openings),
            reused=dict(reused or {}),
        )

    def count(self, kind: type[Outcome]) -> int:
        """How many contracts ended as `kind`."""
        return sum(isinstance(j.outcome, kind) for j in self.judgements)

    def time(self, seconds: float) -> Report:
        """The report on a check that has just ended and took so long."""
        now = datetime.datetime.now(datetime.UTC)
        began = (now - datetime.timedelta(seconds=seconds)).replace(microsecond=0)
        return msgspec.structs.replace(self, checked=began, seconds=round(seconds, 1))

    @property
    def told_reused(self) -> str:
        """One sentence on what was taken over from an earlier check; empty where nothing was."""
        if not self.reused:
            return ""
        days = sorted({f"{when:%Y-%m-%d %H:%M}" for when in self.reused.values()})
        return (
            f"{', '.join(self.reused)}, from the check of {' and '.join(days)} UTC, because nothing that they read has "
            "changed since; --fresh runs everything"
        )

    @property
    def judged(self) -> int:
        """How many contracts were really looked at."""
        return self.count(Kept) + self.count(Broken)

    @property
    def exit_code(self) -> int:
        """As in `EXIT_CODES`: that of the rule which decided; 2 for a clear check whose waivers need attention."""
        return self.ruled_exit or (2 if self.waiver_problems else 0)

    @property
    def blind(self) -> str:
        """Why something that decides could not be looked at; empty where the verdict is not `blind`."""
        return self.reason_why if self.verdict == "blind" else ""

    @property
    def headline(self) -> str:
        """The first line of every report: verdict or severity, then what crashed and what was not looked at."""
        crashed, skipped = self.count(Crashed), self.count(Skipped)
        caveats = [f"; {crashed} CRASHED" if crashed else ""]
        if skipped:
            caveats.append(f"; {skipped} of {len(self.judgements)} contracts were NOT looked at")
        return head(self.verdict, self.findings, level=self.level) + "".join(caveats)

    @property
    def tone(self) -> Tone:
        """The colour of the headline, by name."""
        return choose_tone(self.verdict, self.findings)

    @property
    def not_applicable(self) -> dict[str, tuple[str, ...]]:
        """Reason -> ids of the contracts that say nothing about this setup."""
        groups: dict[str, list[str]] = {}
        for judgement in self.judgements:
            if isinstance(judgement.outcome, NotApplicable):
                groups.setdefault(judgement.outcome.reason, []).append(judgement.contract.id)
        return {reason: tuple(ids) for reason, ids in sorted(groups.items())}

    @property
    def skipped(self) -> dict[str, tuple[str, ...]]:
        """Reason -> ids of the contracts that were skipped for it, the most frequent reason first."""
        groups: dict[str, list[str]] = {}
        for judgement in self.judgements:
            if isinstance(judgement.outcome, Skipped):
                groups.setdefault(judgement.outcome.reason, []).append(judgement.contract.id)
        return {reason: tuple(groups[reason]) for reason in sorted(groups, key=lambda r: (-len(groups[r]), r))}

    @property
    def crashed(self) -> dict[str, str]:
        """Id -> error, for contracts our own judging raised on."""
        return {j.contract.id: j.outcome.error for j in self.judgements if isinstance(j.outcome, Crashed)}

    def reason(self, judgement: Judgement) -> str:
        """One line on why a contract ended as it did; empty for a kept one."""
        match judgement.outcome:
            case Skipped(reason=reason) | NotApplicable(reason=reason):
                return reason
            case Crashed(error=error):
                return error
            case Broken(explained_by=causes) if causes:
                return f"a consequence of {', '.join(causes)}"
            case Broken(findings=findings):
                waiver = next((w for w in self.waived if w.code == findings[0].code), None)
                if waiver:
                    return f"waived {waiver.describe()}"
                return findings[0].summary
        return ""


def _describe_environment(facts: Facts) -> dict[str, str]:
    environment = facts.environment
    if isinstance(environment, Unknown):
        return {}
    packages = {name: environment.packages[name] for name in _PACKAGES if name in environment.packages}
    return {"python": environment.python, "platform": environment.platform, **packages}
