"""The interpreter, the installed packages and the cards, without importing any of the packages."""

from __future__ import annotations

import locale
import re
import sys
from collections.abc import Iterator
from importlib import metadata

from preflight_ocr.harness.facts import Environment, InstalledCard, Unknown

_HEAD = re.compile(r"^(Name|Version):[ \t]*(.*?)[ \t\r]*$", re.MULTILINE)
_TORCH_PIN = re.compile(r"^Requires-Dist: torch\s*\(?==\s*([^\s;,)]+)", re.MULTILINE)


def look_at_environment() -> Environment:
    """What is installed here. `cards` is empty without an NVIDIA driver, Unknown where it cannot be asked."""
    packages: dict[str, str] = {}
    pinned = None
    for name, version, text in _read_distributions():
        packages[name] = version
        if name == "torchvision":
            pinned = _TORCH_PIN.search(text)
    return Environment(
        python=".".join(str(part) for part in sys.version_info[:3]),
        platform=sys.platform,
        packages=dict(sorted(packages.items())),
        stdout_encoding=getattr(sys.stdout, "encoding", None) or "utf-8",
        text_encoding=locale.getpreferredencoding(False),
        torchvision_wants_torch=pinned[1] if pinned else None,
        torch_build=_local_label(packages.get("torch")),
        torchvision_build=_local_label(packages.get("torchvision")),
        cards=_find_cards(),
    )


def _read_distributions() -> Iterator[tuple[str, str, str]]:
    """(normalised name, version, metadata text); of two with one name the first on sys.path counts.

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
            yield name, head.get("Version", ""), text


def _local_label(version: str | None) -> str | None:
    return version.partition("+")[2] or None if version else None


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
