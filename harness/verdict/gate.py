"""What may be trained: waivers, the decision they lead to, and the clearance that training accepts.

The gate takes outcomes and says "clear" or "refused". It never looks at a model and never judges one.
"""

from __future__ import annotations

import datetime
import difflib
import hashlib
import importlib.machinery
import importlib.metadata
import platform
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import msgspec

from preflight_ocr.harness import atomic
from preflight_ocr.harness.config.documents import BrokenYaml, read_yaml
from preflight_ocr.harness.config.schema import Config
from preflight_ocr.harness.diagnoses import catalogue, find
from preflight_ocr.harness.facts import Facts
from preflight_ocr.harness.judging.findings import Broken, Finding, Kept
from preflight_ocr.harness.verdict.contracts import Judgement, root_causes
from preflight_ocr.harness.verdict.decision import Case, Level, Verdict, settle

_WHOLE = (".py", ".json", ".jinja", ".txt", ".model", ".yaml", ".yml")
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf")
_HEAD = 1 << 20


class GateError(ValueError):
    """A waivers file or a clearance that cannot be used. The message says what to type next."""


class Waiver(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One finding that is accepted for a while: why, where that is discussed, and the last day on which it holds."""

    code: str
    reason: str
    link: str
    until: datetime.date


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What stands after waivers. `problems` are waivers that have lapsed, hit nothing, or name nothing."""

    verdict: Verdict
    exit_code: int
    reason: str
    findings: tuple[Finding, ...]
    waived: tuple[Waiver, ...] = ()
    problems: tuple[str, ...] = ()


def read_waivers(path: Path) -> tuple[Waiver, ...]:
    """Read a YAML list of `{code, reason, link, until}`. Raises GateError for anything else."""
    try:
        document, _ = read_yaml(path)
    except OSError as error:
        raise GateError(f"{path}: cannot be read: {error.strerror}; give the path of a YAML file") from None
    except BrokenYaml as error:
        place = f":{error.line}" if error.line else ""
        raise GateError(f"{path}{place}: {error.message}") from None
    try:
        waivers = msgspec.convert(document or [], tuple[Waiver, ...])
    except msgspec.ValidationError as error:
        example = "- {code: SEC001, reason: ..., link: https://..., until: 2030-01-31}"
        raise GateError(f"{path}: {error}; expected a list of waivers such as\n{example}") from None
    for waiver in waivers:
        if empty := [name for name in ("code", "reason", "link") if not getattr(waiver, name).strip()]:
            raise GateError(f"{path}: the waiver for {waiver.code or '?'} has no {empty[0]}; every waiver says why")
    return waivers


def decide(
    judgements: Iterable[Judgement],
    waivers: Iterable[Waiver] = (),
    *,
    facts: Facts,
    level: Level,
    today: datetime.date | None = None,
) -> Decision:
    """Take what is waived out of the findings, and let the rules of `decision` settle what stands."""
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
    ruling = settle(Case(judgements=judgements, standing=tuple(standing), facts=facts, level=level))
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


class Clearance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """That a check ended well, and a sha256 of everything it depended on.

    `bound_to` holds one digest each for the model's files, the configuration, the rows, the installed versions and the
    subject's source, so that a clearance that no longer holds can say which of them changed.
    """

    schema_version: Literal[1] = 1
    verdict: Verdict
    level: str
    facts_digest: str
    bound_to: dict[str, str]
    issued: datetime.datetime

    @classmethod
    def issue(cls, config: Config, *, verdict: Verdict, level: str, facts_digest: str) -> Clearance:
        """A clearance for what is on the disk at this moment."""
        return cls(
            verdict=verdict,
            level=level,
            facts_digest=facts_digest,
            bound_to=bind(config),
            issued=datetime.datetime.now(datetime.UTC).replace(microsecond=0),
        )

    @classmethod
    def read(cls, path: Path) -> Clearance:
        """Read a clearance. Raises GateError where there is none or it is not one."""
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls)
        except OSError as error:
            raise GateError(f"{path}: cannot be read: {error.strerror}") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise GateError(f"{path}: this is not a clearance ({error}); delete it, and it is written anew") from None

    def write(self, path: Path) -> None:
        """Write it in one step. Raises OSError where the folder cannot be written."""
        atomic.write_bytes(path, msgspec.json.format(msgspec.json.encode(self, order="sorted"), indent=2) + b"\n")

    def changes(self, config: Config) -> tuple[str, ...]:
        """Which of the things it is bound to are no longer what they were."""
        now = bind(config)
        return tuple(part for part in sorted({*now, *self.bound_to}) if now.get(part) != self.bound_to.get(part))

    def still_holds(self, config: Config) -> bool:
        """Whether training may start on it: it says clear, foreign code was run for it, and nothing changed since."""
        return self.verdict == "clear" and self.level in ("ran", "gpu") and not self.changes(config)


def bind(config: Config) -> dict[str, str]:
    """Part -> sha256, for everything a clearance depends on. Reads files; runs and imports nothing foreign."""
    directory = config.model.directory
    model = [("base_model", config.model.base_model), ("revision", str(config.model.revision))]
    versions = sorted({f"{d.name}=={d.version}".lower() for d in importlib.metadata.distributions()})
    rows = [p for p in (config.data.train_path, config.data.val_path, config.data.test_path) if p is not None]
    return {
        "configuration": _digest(_read_files([config.source])),
        "model files": _digest([*model, *(_read_files(_model_files(directory)) if directory else ())]),
        "rows": _digest(_read_files(sorted(p / "metadata.json" for p in rows))),
        "subject": _digest(_read_files(_subject_files(config))),
        "versions": _digest([("python", platform.python_version()), *((v, "") for v in versions)]),
    }


def _digest(entries: Iterable[tuple[str, str]]) -> str:
    lines = "".join(f"{name}\0{value}\n" for name, value in entries)
    return hashlib.sha256(lines.encode("utf-8")).hexdigest()


def _read_files(paths: Iterable[Path]) -> Iterator[tuple[str, str]]:
    """Name and digest; weights by size and first MiB, which holds their header: hashing 7 GB would cost a minute."""
    for path in paths:
        if path.is_file():
            with path.open("rb") as file:
                data = file.read(_HEAD) if path.suffix in _WEIGHTS else file.read()
            yield path.name, f"{path.stat().st_size} {hashlib.sha256(data).hexdigest()}"


def _model_files(directory: Path) -> list[Path]:
    return sorted(p for p in directory.iterdir() if p.suffix in _WHOLE + _WEIGHTS)


def _subject_files(config: Config) -> list[Path]:
    """The Python files of each part's top-level package, or of the folder that holds its module."""
    subject = config.subject
    files: set[Path] = set()
    for part in (subject.model, subject.collator, subject.peft, subject.trainer):
        if part is None:
            continue
        top, dot, _ = part.partition(":")[0].partition(".")
        # Finding a top-level name executes nothing; finding a dotted one would import its parent.
        spec = importlib.machinery.PathFinder.find_spec(top, [str(subject.path), *sys.path])
        if spec is None:
            continue
        # A package without `__init__.py` has no origin, and may lie in several folders.
        for folder in map(Path, spec.submodule_search_locations or ()):
            files.update(folder.rglob("*.py"))
        if spec.origin and not spec.submodule_search_locations:
            files.update(Path(spec.origin).parent.rglob("*.py") if dot else Path(spec.origin).parent.glob("*.py"))
    return sorted(files)
