"""Places in somebody's source that reach for a device, or that could do harm: by syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

import msgspec

from preflight_ocr.harness.facts import Site
from preflight_ocr.probes.reading.source import Function, Source, get_text_argument

_ANYWHERE: Mapping[str, str] = {
    "subprocess.": "runs a command",
    "os.system": "runs a command",
    "os.popen": "runs a command",
    "os.exec": "runs a command",
    "os.spawn": "runs a command",
    "os.posix_spawn": "runs a command",
    "pty.": "runs a command",
    "os._exit": "ends the process at once",
    "os.kill": "ends a process",
    "os.abort": "ends the process at once",
    "os.fork": "starts a process",
    "socket.": "opens a connection",
    "ctypes.": "calls native code",
    "cffi.": "calls native code",
    "pickle.load": "unpickles, which can run any code",
    "dill.load": "unpickles, which can run any code",
    "cloudpickle.load": "unpickles, which can run any code",
    "joblib.load": "unpickles, which can run any code",
    "marshal.load": "loads byte code",
    "shutil.rmtree": "deletes files",
    "os.remove": "deletes files",
    "os.unlink": "deletes files",
    "os.rmdir": "deletes files",
    "eval": "evaluates text as code",
    "exec": "evaluates text as code",
    "compile": "evaluates text as code",
    "__import__": "imports by a computed name",
}
"""What a call could do, by the beginning of its full name; a name without a dot has to match as a whole."""

_NETWORK = ("requests.", "urllib.request.", "urllib3.", "httpx.", "aiohttp.", "http.client.", "ftplib.", "smtplib.")
_ALWAYS_RUN = ("__init__", "__new__", "forward", "__call__", "from_pretrained")


def find_hazards(source: Source) -> Iterator[Site]:
    """Suspicious calls, each with whether loading the model or its forward gets there. Network clients count only then."""
    for call, function in _find_placed_calls(source):
        name = source.full_name(call.func)
        if name is None:
            continue
        kind = _judge_name(name)
        if kind is None and name.startswith(_NETWORK) and (function is None or function in _ALWAYS_RUN):
            kind = "opens a connection"
        if kind is None and name == "torch.load" and not _says_weights_only(call):
            kind = "unpickles, which can run any code"
        if kind is None and name in ("open", "io.open") and set(_mode(call, 1)) & set("wax+"):
            kind = "writes a file"
        if kind is not None:
            reached = function is None or function in _ALWAYS_RUN
            yield msgspec.structs.replace(source.site(call, kind), runs=reached)


def find_device_sites(source: Source) -> Iterator[Site]:
    """Hard-coded devices (`cuda`), autocast for one (`autocast`), and gradients switched off (`no_grad`)."""
    sites = []
    for node, _ in source.nodes:
        if isinstance(node, ast.Call):
            kind = _judge_device(source, node)
            if kind is not None:
                sites.append(source.site(node, kind))
        elif isinstance(node, Function):
            bare = (d for d in node.decorator_list if not isinstance(d, ast.Call))
            sites += [source.site(d, "no_grad") for d in bare if _last(source, d) in ("no_grad", "inference_mode")]
    yield from sorted(set(sites), key=lambda site: (site.line, site.kind))


def _judge_name(name: str) -> str | None:
    for start, kind in _ANYWHERE.items():
        if name == start or ("." in start and name.startswith(start)):
            return kind
    return None


def _judge_device(source: Source, call: ast.Call) -> str | None:
    last = call.func.attr if isinstance(call.func, ast.Attribute) else _last(source, call.func)
    if last == "autocast":
        name = source.full_name(call.func) or ""
        fixed = (get_text_argument(call, 0, "device_type") or "").startswith("cuda") or ".cuda." in name
        return "autocast" if fixed else None
    if last in ("no_grad", "inference_mode"):
        return "no_grad"
    if last == "cuda" and isinstance(call.func, ast.Attribute):
        return "cuda"
    given = get_text_argument(call, 0, "device") if last in ("to", "device") else get_text_argument(call, 99, "device")
    return "cuda" if given is not None and (given == "cuda" or given.startswith("cuda:")) else None


def _last(source: Source, node: ast.AST) -> str:
    return (source.full_name(node) or "").rpartition(".")[2]


def _says_weights_only(call: ast.Call) -> bool:
    return any(
        k.arg == "weights_only" and isinstance(k.value, ast.Constant) and k.value.value is True for k in call.keywords
    )


def _mode(call: ast.Call, position: int) -> str:
    return get_text_argument(call, position, "mode") or "r"


def _find_placed_calls(source: Source) -> list[tuple[ast.Call, str | None]]:
    """Every call in the order of the text, with the name of the innermost function around it."""
    found = [(node, function) for node, function in source.nodes if isinstance(node, ast.Call)]
    return sorted(found, key=lambda pair: (pair[0].lineno, pair[0].col_offset))
