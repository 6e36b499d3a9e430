"""What a matrix is of: the user's configurations, or the miniatures that come with Preflight."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from preflight_ocr.harness.config.config import load_config
from preflight_ocr.harness.home import HOME
from preflight_ocr.harness.verdict.binding import bind

MINIATURES = "miniatures"
READ_WITH_A_COMMAND = (".py", ".ipynb", ".yaml", ".yml", ".json", ".toml")
_PACKAGES = ("harness", "probes", "fixtures")


def digest_subject(configs: Sequence[Path], words: Sequence[str] = ()) -> str:
    """sha256 of all that decides the outcome but for the installed releases: what is checked, and what checks it.

    Of a command `words`, that is what it says and the files that it names, with the Python files beside them. Raises
    UserError where a configuration is wrong.
    """
    whole = hashlib.sha256()
    for word in words:
        whole.update(f"word {word}\n".encode())
    for path in _list_named_files(words):
        whole.update(path.read_bytes())
    for path in configs:
        for part, digest in bind(load_config(path)).items():
            if part != "versions":
                whole.update(f"{part} {digest}\n".encode())
    for path in _list_own_files():
        whole.update(path.read_bytes())
    return whole.hexdigest()


def _list_named_files(words: Sequence[str]) -> list[Path]:
    """Programs and settings that a command names, and the Python files of the folders that they lie in."""
    named = [path for word in words if (path := Path(word)).suffix in READ_WITH_A_COMMAND and path.is_file()]
    beside = {other for path in named if path.suffix == ".py" for other in path.parent.glob("*.py")}
    return sorted({*named, *beside})


def _list_own_files() -> Iterator[Path]:
    """Sources, and the miniatures' files and the index of releases beside them."""
    for package in _PACKAGES:
        yield from sorted(p for p in (HOME / package).rglob("*") if p.is_file() and p.suffix != ".pyc")
