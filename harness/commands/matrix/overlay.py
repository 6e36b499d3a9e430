"""Environments that share what is the same in all of them: torch is installed once, not once in every cell.

An environment is laid over a folder of packages by a .pth file: what pip installs into the environment comes first, what it
does not install is found in the folder. pip sees both, so it adds only what a cell needs otherwise.

Also a program, for tox, which runs it in place of `pip install` inside each cell's environment (`install_command` in
tox.ini). So it needs nothing but Python: a cell's environment is still empty when it starts. What cannot be installed is
written down as a cell that could not be built, and is no failure of the run.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from collections.abc import Sequence
from pathlib import Path

LINK = "_preflight_shared.pth"
_PIP = ("--quiet", "--disable-pip-version-check", "--no-input")


def make_environment(folder: Path, shared: Path) -> Path:
    """An environment without pip in `folder`, laid over the packages in `shared`; returns its interpreter."""
    venv.EnvBuilder(with_pip=False, symlinks=os.name != "nt", clear=True).create(folder)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    link(_find_site(python), shared)
    return python


def link(site: Path, shared: Path) -> None:
    """Lay the environment whose site-packages is `site` over `shared`. That folder's own .pth files count as well."""
    (site / LINK).write_text(f"import site; site.addsitedir({str(shared)!r})\n", encoding="utf-8")


def install(arguments: Sequence[str], *, python: Path | None = None) -> str:
    """Run `pip install`, in the environment of `python` where it is given. Returns why it failed, "" where it did not."""
    into = ("--python", str(python)) if python else ()
    command = [sys.executable, "-m", "pip", *into, "install", *_PIP, *arguments]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)
    if done.returncode == 0:
        return ""
    errors = [line.removeprefix("ERROR: ") for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
    return " ".join(errors) or done.stderr.strip().rpartition("\n")[2] or f"pip ended with {done.returncode}"


def share(root: Path, pins: Sequence[str]) -> Path:
    """The folder under `root` that holds the packages in `pins` ("torch==2.13.0"), installed once; its name says which.

    Raises RuntimeError with pip's reason where they cannot be installed.
    """
    tag = hashlib.sha256("\n".join((sys.version, *sorted(pins))).encode()).hexdigest()[:12]
    folder = root / f"shared-{tag}"
    if folder.is_dir():
        return folder
    root.mkdir(parents=True, exist_ok=True)
    # Two cells may come here at once: each builds its own, the first to end is kept.
    building = Path(tempfile.mkdtemp(prefix="building-", dir=root))
    try:
        if pins and (reason := install(["--target", str(building), *pins])):
            raise RuntimeError(reason)
        building.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return folder


def read_pins(constraints: Path, varied: Sequence[str]) -> list[str]:
    """The lines of a constraints file but for the packages in `varied`."""
    lines = constraints.read_text(encoding="utf-8").splitlines()
    pins = [line.strip() for line in lines if "==" in line and not line.startswith("#")]
    return [pin for pin in pins if normalise(pin.partition("==")[0]) not in varied]


def normalise(package: str) -> str:
    """A package's name as indexes compare it: "huggingface_hub" -> "huggingface-hub"."""
    return re.sub(r"[-_.]+", "-", package).lower()


def _find_site(python: Path) -> Path:
    program = "import sysconfig; print(sysconfig.get_path('purelib'))"
    done = subprocess.run([str(python), "-c", program], capture_output=True, encoding="utf-8", check=True)
    return Path(done.stdout.strip())


def main(arguments: Sequence[str] | None = None) -> int:
    """For tox: lay this environment over the shared folder, then `pip install` what tox asks for. Always ends with 0."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--root", type=Path, required=True, help="where the shared folder is")
    parser.add_argument("--constraints", type=Path, required=True, help="the pins of what is shared")
    parser.add_argument("--vary", default="", help="packages that are not shared, with commas between them")
    parser.add_argument("--log", type=Path, required=True, help="where seconds, and a failure, are noted")
    options, rest = parser.parse_known_args(arguments)
    noted = json.loads(options.log.read_text(encoding="utf-8")) if options.log.is_file() else {"seconds": 0.0}
    if noted.get("reason"):
        return 0  # the cell is red already
    started = time.perf_counter()
    try:
        shared = share(options.root, read_pins(options.constraints, options.vary.split(",")))
    except RuntimeError as error:
        noted["reason"] = f"what all cells share could not be installed: {error}"
    else:
        link(Path(sysconfig.get_path("purelib")), shared)
        # In a child, because only an interpreter that starts now reads the link.
        noted["reason"] = install(rest)
    noted["seconds"] = round(noted["seconds"] + time.perf_counter() - started, 3)
    options.log.parent.mkdir(parents=True, exist_ok=True)
    options.log.write_text(json.dumps(noted), encoding="utf-8")
    if noted["reason"]:
        print(f"red cell: {noted['reason']}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
