"""The interpreter, the installed packages and the cards, without importing any of the packages."""

from __future__ import annotations

import locale
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from preflight_ocr.harness.facts import Environment, InstalledCard, Unknown

_HEAD = re.compile(r"^(Name|Version):[ \t]*(.*?)[ \t\r]*$", re.MULTILINE)
_STATED = re.compile(r"^__version__\s*=\s*['\"]([^'\"]+)['\"]", re.MULTILINE)
_TORCH_PIN = re.compile(r"^Requires-Dist: torch\s*\(?==\s*([^\s;,)]+)", re.MULTILINE)


def look_at_environment() -> Environment:
    """What is installed here. `cards` is empty without an NVIDIA driver, Unknown where it cannot be asked."""
    packages: dict[str, str] = {}
    builds: dict[str, str | None] = {}
    pinned = None
    for name, version, text, distribution in _read_distributions():
        packages[name] = version
        if name in ("torch", "torchvision"):
            builds[name] = _find_label(version, distribution, name)
        if name == "torchvision":
            pinned = _TORCH_PIN.search(text)
    return Environment(
        python=".".join(str(part) for part in sys.version_info[:3]),
        platform=sys.platform,
        packages=dict(sorted(packages.items())),
        stdout_encoding=getattr(sys.stdout, "encoding", None) or "utf-8",
        text_encoding=locale.getpreferredencoding(False),
        torchvision_wants_torch=pinned[1] if pinned else None,
        torch_build=builds.get("torch"),
        torchvision_build=builds.get("torchvision"),
        cards=_find_cards(),
    )


def _read_distributions() -> Iterator[tuple[str, str, str, metadata.Distribution]]:
    """(normalised name, version, metadata text, the rest); of two with one name the first on sys.path counts.

    The text is searched, not parsed as mail: that is ten times faster.
    """
    seen: set[str] = set()
    for distribution in metadata.distributions():
        try:
            text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
        except (OSError, UnicodeDecodeError):
            continue  # a half-removed installation; pip cannot see it either
        head = dict(reversed(_HEAD.findall(text.partition("\n\n")[0])))
        name = re.sub(r"[-_.]+", "-", head.get("Name", "")).lower()
        if name and name not in seen:
            seen.add(name)
            yield name, head.get("Version", ""), text, distribution


def _find_label(version: str, distribution: metadata.Distribution, package: str) -> str | None:
    """The build label of an installed release, None where neither its metadata nor its `version.py` has one.

    What comes from PyPI has none in its metadata, since PyPI takes no version with a label; the file still has it.
    """
    if label := version.partition("+")[2]:
        return label
    try:
        text = Path(str(distribution.locate_file(f"{package}/version.py"))).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    stated = _STATED.search(text)
    return stated[1].partition("+")[2] or None if stated else None


def _find_cards() -> tuple[InstalledCard, ...] | Unknown:
    try:
        import pynvml
    except ImportError:
        return Unknown(reason="the cards cannot be asked for: nvidia-ml-py is not installed; pip install nvidia-ml-py")
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        if error.value in (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, pynvml.NVML_ERROR_DRIVER_NOT_LOADED):
            return ()
        return Unknown(reason=f"the NVIDIA driver did not answer: {error}")
    try:
        return tuple(_describe_card(pynvml.nvmlDeviceGetHandleByIndex(i)) for i in range(pynvml.nvmlDeviceGetCount()))
    except pynvml.NVMLError as error:
        return Unknown(reason=f"the NVIDIA driver did not answer: {error}")
    finally:
        pynvml.nvmlShutdown()


def _describe_card(handle: object) -> InstalledCard:
    import pynvml

    name = pynvml.nvmlDeviceGetName(handle)
    major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
    return InstalledCard(
        name=name.decode() if isinstance(name, bytes) else str(name),
        capability=f"{major}.{minor}",
        memory_bytes=int(pynvml.nvmlDeviceGetMemoryInfo(handle).total),
    )
