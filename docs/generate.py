"""Documentation that is generated, so that it cannot grow old: `python -m docs.generate` writes it.

`PAGES` are generated whole. On every other page, and in README.md, each block between `<!-- generated: NAME -->` and
`<!-- end generated -->` is replaced, for each NAME in `BLOCKS`. `--check` writes nothing and fails where something is old.

What takes a run to know is measured by `python -m docs.measure.*` and kept in `docs/measured/`; here it is only rendered.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from docs.render import catalogue, measurements, reference
from preflight_ocr.harness import atomic

ROOT = Path(__file__).resolve().parents[1]

PAGES: Mapping[str, Callable[[], str]] = {
    "docs/diagnoses.md": catalogue.render_diagnoses,
    "docs/reference/models.md": catalogue.render_models,
    "docs/reference/commands.md": reference.render_commands,
    "docs/reference/facts.md": reference.render_facts,
    "docs/reference/python.md": reference.render_functions,
    "docs/measured/pairs.md": measurements.render_pairs,
    "docs/measured/laws.md": measurements.render_laws,
}
"""Path -> what it should hold. `docs/diagnoses.md` stays where it is: every report that was ever written names it."""

BLOCKS: Mapping[str, Callable[[], str]] = {
    "headline": measurements.render_headline,
    "corpus": measurements.render_corpus,
    "collator-speed": measurements.render_collator_speed,
    "memory": measurements.render_memory,
    "learning": measurements.render_learning,
    "speed": measurements.render_speed,
    "speed-summary": measurements.summarise_speed,
    "finding": measurements.render_finding,
    "short-finding": measurements.render_short_finding,
    "exit-codes": catalogue.render_exit_codes,
    "verdict": catalogue.render_verdict,
    "campaign": measurements.render_campaign,
    "keys": catalogue.render_keys,
    "commands": reference.summarise_commands,
}

_BLOCK = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- end generated -->)", re.DOTALL)


def fill_blocks(text: str) -> str:
    """`text` with every generated block replaced. Raises ValueError for a block nobody generates."""

    def fill(match: re.Match[str]) -> str:
        render = BLOCKS.get(match[2])
        if render is None:
            raise ValueError(f"nothing generates the block {match[2]!r}; known are {', '.join(BLOCKS)}")
        return f"{match[1]}{render()}\n{match[3]}"

    return _BLOCK.sub(fill, text)


def generate(root: Path = ROOT) -> Iterator[tuple[Path, str]]:
    """Each file that is generated, or has a generated block, and what it should hold."""
    for name, render in PAGES.items():
        yield root / name, render()
    for path in (root / "README.md", *sorted((root / "docs").rglob("*.md"))):
        if path.is_file() and path.relative_to(root).as_posix() not in PAGES:
            text = path.read_text(encoding="utf-8")
            if _BLOCK.search(text):
                yield path, fill_blocks(text)


def find_outdated(root: Path = ROOT) -> dict[Path, str]:
    """The generated files that do not hold what they should, and what that is."""
    return {
        path: text for path, text in generate(root) if not path.is_file() or path.read_text(encoding="utf-8") != text
    }


def main(words: Sequence[str]) -> int:
    """Write what is old, or with `--check` only name it. Returns the exit code."""
    outdated = find_outdated()
    for path, text in outdated.items():
        if "--check" in words:
            sys.stdout.write(f"{path} is old: run python -m docs.generate\n")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic.write_text(path, text)
            sys.stdout.write(f"written: {path}\n")
    return 1 if outdated and "--check" in words else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
