"""Where a finding is shown in a project: at a line of source that a reader of the project can open, else in the YAML file.

A place in a finding is relative to the folder it was read from. Here it becomes a path below the project's root, so that a
code host can write the finding beside the line. What lies outside, such as a model in a cache, is still named.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Literal
from urllib.parse import quote, unquote

import msgspec

from preflight_ocr.harness.facts import Site, Unknown
from preflight_ocr.harness.judging.findings import Finding
from preflight_ocr.harness.verdict.report import Report

Root = Literal["project", "parts", "model"]

_ALWAYS = "model.base_model"  # the one key that every file has: what the finding is about, if nothing says it better


class Spot(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a file. `uri` is relative to `root`, with `/` and escaped as in a URI; `code` may be empty."""

    root: Root
    uri: str
    line: int
    code: str = ""
    key: str = ""

    @property
    def path(self) -> str:
        """The same as a path, with `/`."""
        return unquote(self.uri)


def locate(finding: Finding, report: Report) -> tuple[Spot, ...]:
    """Where to look, the first one first; always at least one, and the first one below the project's root."""
    project = find_project(report)
    seen = tuple(dict.fromkeys(_place(site, report, project) for site in finding.places))
    asked = _find_key(finding, report)
    inside = [spot for spot in seen if spot.root == "project"]
    outside = [spot for spot in seen if spot.root != "project"]
    return (*inside, *outside) if inside else (asked, *outside)


def find_project(report: Report) -> Path:
    """The folder that paths are relative to: the repository around the YAML file, the working directory, its folder."""
    source = Path(report.config).absolute()
    for folder in source.parents:
        if (folder / ".git").exists():
            return folder
    return Path.cwd() if source.is_relative_to(Path.cwd()) else source.parent


def name_config(report: Report) -> str:
    """The YAML file's path below the project's root, with `/`."""
    return Path(report.config).absolute().relative_to(find_project(report)).as_posix()


def _find_key(finding: Finding, report: Report) -> Spot:
    """The line of the first key that the file has; a key that is missing is looked for at its section."""
    uri = quote(name_config(report))
    sections = [key.rpartition(".")[0] for key in finding.keys[:1]]
    spelled = [other for key in finding.keys for other in _spell(key)]
    for key in (*spelled, *sections, _ALWAYS):
        if key in report.lines:
            return Spot(root="project", uri=uri, line=report.lines[key], key=key)
    return Spot(root="project", uri=uri, line=1)


def _spell(key: str) -> Iterator[str]:
    """A key and the other ways to write it: what trains may stand in either of two sections."""
    yield key
    section, _, name = key.rpartition(".")
    if section == "training":
        yield f"optimization.{name}"
    if key == "model.torch_dtype":
        yield "model.dtype"


def _place(site: Site, report: Report, project: Path) -> Spot:
    for folder, root in _list_folders(report):
        for name in _list_names(site.file, report):
            path = folder / name
            if path.is_file():
                inside = path.is_relative_to(project)
                uri = _escape(path.relative_to(project if inside else folder))
                return Spot(root="project" if inside else root, uri=uri, line=site.line, code=site.code)
    return Spot(root="model", uri=_escape(PurePosixPath(Path(site.file).name)), line=site.line, code=site.code)


def _list_folders(report: Report) -> Iterator[tuple[Path, Root]]:
    """Where source was read from: the user's parts first, then the model's own folder."""
    parts, *models = report.folders or (Path(report.config).absolute().parent,)
    yield parts.absolute(), "parts"
    yield from ((model.absolute(), "model") for model in models)
    if not isinstance(report.facts.repository, Unknown):
        yield Path(report.facts.repository.path).absolute(), "model"


def _list_names(file: str, report: Report) -> Iterator[str]:
    """The file as it is named, and beside each of the user's parts: a traceback's place has no folder."""
    yield file
    if isinstance(report.facts.subject, Unknown) or "/" in file:
        return
    for target in report.facts.subject.parts.values():
        *package, _ = target.partition(":")[0].split(".")
        yield "/".join([*package, file])


def _escape(path: Path | PurePosixPath) -> str:
    return quote(path.as_posix())
