"""What the pages of the documentation show can be typed: commands with their options, YAML, Python."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

from docs.generate import PAGES as GENERATED
from preflight_ocr.harness.cli import preflight, run_training
from preflight_ocr.harness.config.config import load_config
from preflight_ocr.harness.config.json_schema import build_schema
from tests.support.places import ROOT

PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "SECURITY.md",
        *sorted((ROOT / "docs").rglob("*.md")),
    )
    if path.relative_to(ROOT).as_posix() not in GENERATED
}
SECTIONS = set(build_schema()["properties"])
COMMAND = re.compile(r"(?:^|`|- |&& )((?:preflight(?:-ocr)?|run-training) +[^`\n]+)", re.MULTILINE)


def list_blocks(*languages: str) -> Iterator[tuple[str, str]]:
    """[page, text] of each fenced block in one of these languages."""
    for page, text in PAGES.items():
        for language, block in re.findall(r"^ *```(\w+)[^\n]*\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE):
            if language in languages:
                yield page, block


def list_commands() -> Iterator[tuple[str, str]]:
    """[page, line] of each command of ours, in text and in blocks."""
    for page, text in PAGES.items():
        yield from ((page, line) for line in COMMAND.findall(text))


def find_command(words: list[str]) -> click.Command | None:
    """The command that a line begins with; None where it is none, as in the words "preflight is on PATH"."""
    return run_training if words[0] == "run-training" else preflight.commands.get(words[1])


def test_every_command_exists_with_its_options():
    seen = 0
    for page, line in list_commands():
        words = line.partition("#")[0].partition(" -- ")[0].removesuffix(" --").split()
        command = find_command(words)
        if command is None:
            assert words[1].startswith("-") or page.endswith("CHANGELOG.md"), (page, line)
            continue
        if isinstance(command, click.Group):
            command = command.commands[words[2]]
        seen += 1
        known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)} | {
            "-h",
            "--help",
        }
        options = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert options <= known, (page, line, options - known)
    assert seen > 50


@pytest.mark.parametrize("number", range(len(list(list_blocks("yaml", "yml")))))
def test_every_yaml_file_has_only_keys_that_are_known(number, tmp_path: Path):
    page, block = list(list_blocks("yaml", "yml"))[number]
    document = yaml.safe_load(block)
    assert document, page
    if (
        isinstance(document, dict) and document.keys() <= SECTIONS
    ):  # a whole file of ours, or what is to be added to one
        document["model"] = {"base_model": "model", **document.get("model", {})}
        (tmp_path / "project.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
        assert load_config(tmp_path / "project.yaml").unknown_keys == (), page


def test_every_piece_of_python_can_be_compiled():
    blocks = list(list_blocks("python", "py"))
    assert len(blocks) >= 5
    for page, block in blocks:
        try:
            ast.parse(block)
        except SyntaxError as error:
            pytest.fail(f"{page}: {error}\n{block}")


def test_every_piece_of_json_can_be_read():
    for page, block in list_blocks("json"):
        for piece in block.splitlines() if block.count("\n{") else [block]:  # a file of lines, or one document
            assert json.loads(piece) is not None, page
