"""Which files foreign code opened to read, and which it imported, as the interpreter tells them.

Libraries that open files in C by themselves are not heard, and neither is code that takes its module out of `sys.modules`
and was read before: what the configuration names is bound without this list, which only adds to it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import ModuleType

from preflight_ocr.harness.home import find_installed_places

__all__ = ["TOUCHED_BYTES", "listen"]

TOUCHED_BYTES = 4 << 20
"""How much the names may take together."""

_MOST = 20_000
_LONGEST = 4096


def listen() -> Callable[[], tuple[str, ...]]:
    """Note from now on what is opened; the function returned gives absolute paths, without what is installed.

    Every name that is used later is bound here: the code that is listened to may replace it everywhere else.
    """
    places = (*find_installed_places(), "/proc/", "/sys/", "/dev/")
    seen: dict[str, None] = {}
    room = [TOUCHED_BYTES]
    text, number, size, kind = str, int, len, type
    join, get_folder, writing = os.path.join, os.getcwd, os.O_WRONLY | os.O_RDWR | os.O_CREAT
    failures = (OSError, ValueError, TypeError)
    separator = os.sep
    names_of, modules, dictionary, module_type = ModuleType.__getattribute__, sys.modules, dict, ModuleType
    is_kind_of, as_tuple = issubclass, tuple

    def note(path: object) -> None:
        if kind(path) is not text or size(seen) >= _MOST or size(path) > _LONGEST or "\0" in path:  # type: ignore[arg-type, operator]
            return
        name: str = path  # type: ignore[assignment]
        if not name.startswith(separator) and ":" not in name[:3]:
            try:
                name = join(get_folder(), name)
            except failures:
                return
        if name.endswith(".pyc") and "__pycache__" in name:
            folder, _, stem = name.rpartition("__pycache__" + separator)
            name = folder + stem.partition(".")[0] + ".py"
        if name not in seen and not name.startswith(places) and room[0] > 4 * size(name):
            room[0] -= 4 * size(name)  # what it can take in UTF-8
            seen[name] = None

    def hear(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if kind(flags) is number and not flags & writing:  # type: ignore[operator]
                note(path)
        elif event == "ctypes.dlopen" or event == "import":
            note(arguments[0 if event == "ctypes.dlopen" else 1])

    def tell() -> tuple[str, ...]:
        for module in dictionary(modules).values():
            if is_kind_of(kind(module), module_type):  # a library of cffi says of itself that it is a module
                names = names_of(module, "__dict__")
                note(names.get("__file__"))
        clean = (name.encode("utf-8", errors="replace").decode("utf-8") for name in seen)
        return as_tuple(clean)

    sys.addaudithook(hear)
    return tell
