"""What may be trained: waivers, and the decision they lead to.

The gate takes outcomes and says "clear" or "refused". It never looks at a model and never judges one.
"""

from __future__ import annotations

import datetime
import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from preflight_ocr.harness.config.documents import BrokenYaml, read_yaml
from preflight_ocr.harness.diagnoses import catalogue, find
from preflight_ocr.harness.facts import Facts
from preflight_ocr.harness.judging.findings import Broken, Finding, Kept, Level
from preflight_ocr.harness.verdict.contracts import Judgement, root_causes
from preflight_ocr.harness.verdict.decision import Case, Verdict, settle

_EXAMPLE = """\
- code: COL018
  reason: augmentation is random on purpose until the new sampler is in
  until: 2030-01-31
  link: https://example.org/issues/12   # may be left out"""
_ABSENT = {
    "code": "write the code or the name of the finding that is accepted",
    "reason": "every waiver says why",
    "until": "write the last day on which it holds, such as 2030-01-31",
}


class GateError(ValueError):
    """A waivers file or a clearance that cannot be used. The message says what to type next."""


class Waiver(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One finding that is accepted for a while: why, the last day on which it holds, and where it is discussed, if it is."""

    code: str
    reason: str
    until: datetime.date
    link: str = ""

    def describe(self) -> str:
        """Why and how long, for every report."""
        return f"until {self.until}: {self.reason}" + (f" ({self.link})" if self.link else "")


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What stands after waivers. `problems` are waivers that have lapsed, hit nothing, or name nothing."""

    verdict: Verdict
    exit_code: int
    reason: str
    findings: tuple[Finding, ...]
    waived: tuple[Waiver, ...] = ()
    problems: tuple[str, ...] = ()


def read_waivers(path: Path) -> tuple[Waiver, ...]:
    """Read a YAML list of `{code, reason, until, link}`; the link may be left out. Raises GateError for anything else."""
    try:
        document, _ = read_yaml(path)
    except FileNotFoundError:
        raise GateError(f"{path}: there is no such file; give the path of a YAML file such as\n{_EXAMPLE}") from None
    except OSError as error:
        raise GateError(f"{path}: cannot be read: {error.strerror}; give the path of a YAML file") from None
    except BrokenYaml as error:
        place = f":{error.line}" if error.line else ""
        raise GateError(f"{path}{place}: {error.message}") from None
    if not isinstance(document, list | None):
        seen = f"a {'mapping' if isinstance(document, dict) else type(document).__name__}"
        raise GateError(f"{path}: seen {seen}, expected a list of waivers such as\n{_EXAMPLE}")
    return tuple(_read_waiver(path, number, entry) for number, entry in enumerate(document or (), 1))


def _read_waiver(path: Path, number: int, entry: Any) -> Waiver:
    """One entry of the list, counted from 1."""
    place = f"{path}: waiver {number}"
    if not isinstance(entry, dict):
        raise GateError(f"{place} is {entry!r:.100}, expected a mapping such as\n{_EXAMPLE}")
    place = f"{place} ({entry['code']})" if isinstance(entry.get("code"), str) else place
    known = Waiver.__struct_fields__
    if unknown := [str(key) for key in entry if key not in known]:
        raise GateError(f"{place} has the key `{unknown[0]:.100}`, expected {', '.join(known)}; delete or rename it")
    for name in ("code", "reason", "until"):
        if entry.get(name) in (None, ""):
            raise GateError(f"{place} has no `{name}`; {_ABSENT[name]}")
    for name in ("code", "reason", "link"):
        value = entry.get(name) or ""
        if not isinstance(value, str):
            raise GateError(f"{place}: `{name}` is {value!r:.100}, expected text; put it in quotes")
        if name != "link" and not value.strip():
            raise GateError(f"{place} has no `{name}`; {_ABSENT[name]}")
    until = entry["until"]
    if isinstance(until, datetime.datetime) or not isinstance(until, datetime.date):
        try:
            until = datetime.date.fromisoformat(str(until).strip())
        except ValueError:
            raise GateError(f"{place}: `until` is {until!r:.100}, expected a day such as 2030-01-31") from None
    return Waiver(code=entry["code"], reason=entry["reason"], until=until, link=entry.get("link") or "")


def decide(
    judgements: Iterable[Judgement],
    waivers: Iterable[Waiver] = (),
    *,
    facts: Facts,
    level: Level,
    today: datetime.date | None = None,
    changed: tuple[str, ...] = (),
) -> Decision:
    """Take what is waived out of the findings, and let the rules of `decision` settle what stands.

    `changed` is what was no longer the same when the check had ended.
    """
    judgements, today = tuple(judgements), today or datetime.date.today()
    roots = root_causes(judgements)
    looked_at = {j.contract.diagnosis.code for j in judgements if isinstance(j.outcome, Kept | Broken)}
    found = {f.code for f in roots}
    standing, waived, problems = list(roots), [], []
    for waiver in waivers:
        module = find(waiver.code)
        code = module.DIAGNOSIS.code if module else waiver.code
        if module is None:
            problems.append(f"waiver {waiver.code}: there is no such diagnosis{nearest(waiver.code)}")
        elif waiver.until < today:
            problems.append(f"waiver {code} lapsed on {waiver.until}: fix {code}, or give the waiver a new date")
        elif code in found:
            standing = [f for f in standing if f.code != code]
            waived.append(msgspec.structs.replace(waiver, code=code))
        elif code in looked_at:
            problems.append(f"waiver {code} waives nothing: the contract holds by itself; delete the waiver")
    ruling = settle(Case(judgements=judgements, standing=tuple(standing), facts=facts, level=level, changed=changed))
    return Decision(
        verdict=ruling.verdict,
        exit_code=ruling.exit_code,
        reason=ruling.reason,
        findings=tuple(standing),
        waived=tuple(waived),
        problems=tuple(problems),
    )


def nearest(code_or_name: str) -> str:
    """`; did you mean CODE (name)?` for a mistyped diagnosis, or an empty string where nothing is close."""
    names = {key: m.DIAGNOSIS for m in catalogue() for key in (m.DIAGNOSIS.code.lower(), m.DIAGNOSIS.name)}
    close = difflib.get_close_matches(code_or_name.lower(), names, n=1, cutoff=0.5)
    return f"; did you mean {names[close[0]].code} ({names[close[0]].name})?" if close else ""
