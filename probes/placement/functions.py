"""Every call of torch's own functions from Python, answered and carried out as on a card."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from preflight_ocr.probes.placement.ledger import list_tensors, share_memory
from preflight_ocr.probes.placement.rules import ANYWHERE, CARD, CPU
from preflight_ocr.probes.placement.simulation import Simulation

ELSEWHERE = 63  # the index of a card that stands for ANYWHERE when code asks


class Functions(TorchFunctionMode):
    """Every call of torch's own functions from Python."""

    def __init__(self, simulation: Simulation) -> None:
        super().__init__()
        self.simulation = simulation

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        answer = _ANSWERS.get(func, _run)
        return answer(self.simulation, func, args, dict(kwargs or {}))  # type: ignore[no-untyped-call]


def _run(s: Simulation, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Any other function. `device=` is where its result goes; with neither that nor a tensor, it makes one on the CPU."""
    wanted = None
    if kwargs.get("device") is not None:
        wanted = read_device(kwargs["device"])
        if wanted is None:
            return func(*args, **kwargs)  # meta, or another machine's: not ours to play
        _note_name(s, kwargs["device"], getattr(func, "__name__", ""))
        kwargs["device"] = "cpu"
    result = func(*args, **kwargs)
    if not isinstance(result, torch.Tensor | tuple | list):
        return result
    name = getattr(func, "__name__", "")
    if wanted is not None:
        return _place(s, result, wanted, args, name)
    is_special = name in _BY_NUMBERS or name in _BY_DATA
    given: list[torch.Tensor] | None = None
    for made in list_tensors(result):
        here = s.find(made)
        if here.device != ANYWHERE and not is_special:
            continue  # the kernels have written it down
        given = list_tensors((args, kwargs)) if given is None else given
        if not given or name in _BY_NUMBERS:
            if here.origin is None:
                s.make(made, CPU, call=name)
        elif name in _BY_DATA:
            _follow(s, made, name, args)
        elif not s.ledger.knows(made):
            s.ledger.write(made, *s.find(given[0]))
    return result


# Made of numbers, for which tensors may stand; where these are does not matter.
_BY_NUMBERS = frozenset(
    [
        "arange",
        "range",
        "linspace",
        "logspace",
        "full",
        "zeros",
        "ones",
        "empty",
        "eye",
        "rand",
        "randn",
        "randint",
        "randperm",
        "scalar_tensor",
    ]
)
_BY_DATA = ("tensor", "new_tensor", "__deepcopy__", "new")


def _follow(s: Simulation, made: torch.Tensor, name: str, args: tuple[Any, ...]) -> None:
    """A tensor made of another one is where that one is; of a list of tensors, on the CPU."""
    source = args[0] if args else None
    if isinstance(source, torch.Tensor):
        here = s.find(source)
        if here.device == CPU:
            s.make(made, CPU, call=name)
        else:
            s.ledger.write(made, *here)


def _place(s: Simulation, result: Any, device: str, args: Any, call: str) -> Any:
    """The result of a function that was told where to put it."""
    if isinstance(result, torch.Tensor):
        source = next((t for t in list_tensors(args) if share_memory(t, result)), None)
        if source is not None:  # as_tensor, asarray: no copy where nothing changes
            return s.move(source, device, moved=result, call=call)
        s.make(result, device, call=call)
        return result
    for made in list_tensors(result):
        s.make(made, device, call=call)
    return result


def read_device(device: Any) -> str | None:
    """How the ledger writes a device; None for those that no card stands in for."""
    if isinstance(device, bool):
        return None
    if isinstance(device, int):
        return f"cuda:{device}"
    try:
        read = torch.device(device)
    except (RuntimeError, TypeError):
        return None
    if read.type == "cpu":
        return CPU
    if read.type != "cuda":
        return None
    return ANYWHERE if read.index == ELSEWHERE else f"cuda:{read.index or 0}"


def show_device(device: str) -> torch.device:
    """What a tensor answers when it is asked where it is."""
    return torch.device("cuda", ELSEWHERE) if device == ANYWHERE else torch.device(device)


def _note_name(s: Simulation, device: Any, call: str) -> None:
    """A line that writes "cuda" or a number names a card itself; one that hands a tensor's device on does not."""
    if s.is_moving_model:
        return
    is_named = isinstance(device, int) or (isinstance(device, str) and device.startswith("cuda"))
    is_bare = isinstance(device, torch.device) and device.type == "cuda" and device.index is None
    if is_named or is_bare:
        s.name_card(call)


def _answer_device(s: Simulation, func: Any, args: Any, kwargs: Any) -> Any:
    real = func(*args, **kwargs)
    return real if real.type != "cpu" else show_device(s.find(args[0]).device)


def _answer_is_cuda(s: Simulation, func: Any, args: Any, kwargs: Any) -> bool:
    return bool(_answer_device(s, torch.Tensor.device.__get__, args, kwargs).type == "cuda")


def _answer_is_cpu(s: Simulation, func: Any, args: Any, kwargs: Any) -> bool:
    return bool(_answer_device(s, torch.Tensor.device.__get__, args, kwargs).type == "cpu")


def _answer_get_device(s: Simulation, func: Any, args: Any, kwargs: Any) -> int:
    device = _answer_device(s, torch.Tensor.device.__get__, args, kwargs)
    return -1 if device.type == "cpu" else int(device.index or 0)


def _send_cuda(s: Simulation, func: Any, args: Any, kwargs: Any) -> Any:
    device = kwargs.get("device", args[1] if len(args) > 1 else None)
    if not (isinstance(device, torch.device) and device.index is not None) and not s.is_moving_model:
        s.name_card("Tensor.cuda")
    return s.move(args[0], (read_device(device) or CARD) if device is not None else CARD, call="Tensor.cuda")


def _send_cpu(s: Simulation, func: Any, args: Any, kwargs: Any) -> Any:
    return s.move(args[0], CPU, call="Tensor.cpu")


def _send(s: Simulation, func: Any, args: Any, kwargs: Any) -> Any:
    """`Tensor.to` in each of its forms."""
    tensor, rest, wanted = args[0], list(args[1:]), None
    if isinstance(kwargs.get("device"), str | int | torch.device):
        wanted = read_device(kwargs["device"])
        _note_name(s, kwargs["device"], "Tensor.to")
        kwargs["device"] = "cpu" if wanted is not None else kwargs["device"]
    elif isinstance(kwargs.get("other"), torch.Tensor):
        wanted = s.find(kwargs["other"]).device
    elif rest and isinstance(rest[0], torch.Tensor):
        wanted = s.find(rest[0]).device
    elif rest and isinstance(rest[0], str | int | torch.device) and not isinstance(rest[0], bool):
        wanted = read_device(rest[0])
        _note_name(s, rest[0], "Tensor.to")
        rest[0] = "cpu" if wanted is not None else rest[0]
    moved = func(tensor, *rest, **kwargs)
    if wanted is None:
        if not s.ledger.knows(moved):
            s.ledger.write(moved, *s.find(tensor))
        return moved
    return s.move(tensor, wanted, moved=moved, call="Tensor.to")


def _send_type(s: Simulation, func: Any, args: Any, kwargs: Any) -> Any:
    """`Tensor.type(...)`, the old way to say dtype and device in one word."""
    result = func(*args, **kwargs) if not _names_cuda_type(args) else args[0]
    if isinstance(result, str):
        return result.replace("torch.", "torch.cuda.", 1) if s.find(args[0]).device not in (CPU, ANYWHERE) else result
    if _names_cuda_type(args):
        s.name_card("Tensor.type")
        result = func(args[0], str(args[1]).replace("torch.cuda.", "torch."))
        return s.move(args[0], CARD, moved=result, call="Tensor.type")
    if not s.ledger.knows(result):
        s.ledger.write(result, *s.find(args[0]))
    return result


def _names_cuda_type(args: Any) -> bool:
    return len(args) > 1 and isinstance(args[1], str) and args[1].startswith("torch.cuda.")


def _send_type_as(s: Simulation, func: Any, args: Any, kwargs: Any) -> Any:
    other = args[1] if len(args) > 1 else kwargs["other"]
    return s.move(args[0], s.find(other).device, moved=func(*args, **kwargs), call="Tensor.type_as")


def _list(s: Simulation, func: Any, args: Any, kwargs: Any) -> Any:
    if s.find(args[0]).device not in (CPU, ANYWHERE):
        s.wait("tolist")
    return func(*args, **kwargs)


def _array(s: Simulation, func: Any, args: Any, kwargs: Any) -> Any:
    if s.find(args[0]).device not in (CPU, ANYWHERE):
        s.copy_to_host(args[0], "numpy")
    return func(*args, **kwargs)


_ANSWERS: dict[Any, Callable[[Simulation, Any, Any, Any], Any]] = {
    torch.Tensor.device.__get__: _answer_device,
    torch.Tensor.is_cuda.__get__: _answer_is_cuda,  # type: ignore[attr-defined]
    torch.Tensor.is_cpu.__get__: _answer_is_cpu,  # type: ignore[attr-defined]
    torch.Tensor.get_device: _answer_get_device,
    torch.Tensor.cuda: _send_cuda,
    torch.Tensor.cpu: _send_cpu,
    torch.Tensor.to: _send,
    torch.Tensor.type: _send_type,
    torch.Tensor.type_as: _send_type_as,
    torch.Tensor.tolist: _list,
    torch.Tensor.numpy: _array,
    torch.Tensor.__array__: _array,
}
