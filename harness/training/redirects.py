"""Hard-coded accelerator calls, met while foreign code runs: redirected to the CPU and reported with their place."""

from __future__ import annotations

import linecache
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch.overrides import TorchFunctionMode

from preflight_ocr.harness import home

_NOT_FOREIGN = (str(Path(torch.__file__).parent), *home.PREFIXES)


class Redirect(msgspec.Struct, frozen=True, kw_only=True):
    """One place in foreign code that asked for an accelerator. `line` counts from 1; `code` is that line, stripped."""

    file: str
    line: int
    code: str
    call: str


@contextmanager
def redirect_cuda() -> Iterator[list[Redirect]]:
    """Send every `.cuda()`, `.to("cuda")`, `device="cuda"` and `autocast("cuda")` in the block to the CPU.

    Yields the list of places met, each once, in the order in which they were first met. Use it only where there is no
    accelerator: the block then computes what it would have computed there, slower.
    """
    found: list[Redirect] = []
    with autocast_on_cpu(lambda: _record(found, "torch.autocast")), _Redirection(found):
        yield found


@contextmanager
def autocast_on_cpu(note: Callable[[], None]) -> Iterator[None]:
    """Let `torch.autocast("cuda")` mean the CPU in the block; `note` is called each time."""
    start = torch.autocast.__init__

    def start_on_cpu(self: torch.autocast, device_type: str, *rest: Any, **options: Any) -> None:
        if _is_cuda(device_type):
            note()
            device_type = "cpu"
        start(self, device_type, *rest, **options)

    torch.autocast.__init__ = start_on_cpu  # type: ignore[method-assign]
    try:
        yield
    finally:
        torch.autocast.__init__ = start  # type: ignore[method-assign]


class _Redirection(TorchFunctionMode):
    def __init__(self, found: list[Redirect]) -> None:
        super().__init__()
        self.found = found

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.Tensor.cuda:
            _record(self.found, "Tensor.cuda")
            return args[0]
        if _is_cuda(kwargs.get("device")):
            _record(self.found, getattr(func, "__qualname__", repr(func)))
            kwargs["device"] = "cpu"
        if func is torch.Tensor.to and any(map(_is_cuda, args[1:])):
            _record(self.found, "Tensor.to")
            args = (args[0], *("cpu" if _is_cuda(value) else value for value in args[1:]))
        return func(*args, **kwargs)


def _is_cuda(device: object) -> bool:
    if isinstance(device, torch.device):
        return device.type == "cuda"
    return isinstance(device, str) and device.partition(":")[0] == "cuda"


def _record(found: list[Redirect], call: str) -> None:
    """Note the innermost line outside torch and outside our own probes."""
    frame = sys._getframe(1)
    while frame.f_back and frame.f_code.co_filename.startswith(_NOT_FOREIGN):
        frame = frame.f_back
    file, line = frame.f_code.co_filename, frame.f_lineno
    place = Redirect(file=file, line=line, code=linecache.getline(file, line).strip(), call=call)
    if place not in found:
        found.append(place)
