"""One file, changed as bad luck, a bad tool or bad will may change it."""

from __future__ import annotations

import copy
import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

_PIECES = (
    b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\x1b[2J\x1b[H", b"\nCLEAR: no findings\n", b"\r", b"\x85", "\u202e".encode(),
    b"\xc3\x28", b"\xed\xa0\x80", b"{", b"[" * 3000, b"]", b'"', b"\\u0000", b"\\ud800", b"&a [*a]",
    b"!!python/name:os.abort ", b"\t", b"#", b"'", b"%", b"1e999", b"NaN", b"-Infinity", b"9" * 5000,
)  # fmt: skip
_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 3, 10**30, -(2**63), 2**64, 0.5, -0.0, 1e308, math.nan, math.inf, -math.inf, "", " ", "a",
    "none", "None", "null", "1e-4", "-3", "x" * 40_000, "\x1b[31mred", "a\nCLEAR: no findings", "\u202eabc", "../../../etc",
    "/dev/zero", "/dev/tty", "~nosuchuser/x", "/proc/self/environ", "a/" * 3000, "{{ x }}", "\x00", "C:\\x\\y", [], {}, [[]],
    [None], ["a"], {"a": 1}, {"": ""}, [1, "a", None], list(range(300)), {str(i): i for i in range(300)},
)  # fmt: skip
_ENCODINGS = ("utf-16", "utf-16-le", "utf-32", "cp1251", "latin-1", "utf-8-sig")


def mutate(path: Path, source: random.Random) -> str:
    """Change the file in place; what was done, in words."""
    ways: list[Callable[[Path, random.Random], str]] = [_flip, _cut, _insert, _blank, _repeat, _swap]
    if path.suffix in (".yaml", ".json", ".py", ".jinja"):
        ways += [_encode, _insert]
    if path.suffix == ".json":
        ways += [_restructure_json] * 8
    if path.suffix == ".yaml":
        ways += [_restructure_yaml] * 10
    if path.suffix == ".safetensors":
        ways += [_restructure_header] * 4
    return source.choice(ways)(path, source)


def _flip(path: Path, source: random.Random) -> str:
    data = bytearray(path.read_bytes())
    count = source.choice((1, 1, 2, 8, 64))
    for _ in range(count if data else 0):
        data[source.randrange(len(data))] ^= 1 << source.randrange(8)
    path.write_bytes(data)
    return f"{count} bits flipped"


def _cut(path: Path, source: random.Random) -> str:
    data = path.read_bytes()
    at = source.choice((0, 1, len(data) // 2, max(0, len(data) - 1), source.randrange(len(data) + 1)))
    path.write_bytes(data[:at])
    return f"cut at {at} of {len(data)}"


def _insert(path: Path, source: random.Random) -> str:
    data, piece = path.read_bytes(), source.choice(_PIECES)
    at = source.randrange(len(data) + 1)
    path.write_bytes(data[:at] + piece + data[at:])
    return f"{piece[:12]!r} inserted at {at}"


def _blank(path: Path, source: random.Random) -> str:
    data = bytearray(path.read_bytes())
    at, length = source.randrange(len(data) + 1), source.choice((1, 16, 512, 4096))
    length = min(length, len(data) - at)
    data[at : at + length] = bytes(length)
    path.write_bytes(data)
    return f"{length} bytes zeroed at {at}"


def _repeat(path: Path, source: random.Random) -> str:
    data = path.read_bytes()
    at = source.randrange(len(data) + 1)
    piece = data[at : at + source.choice((1, 10, 300))]
    path.write_bytes(data[:at] + piece * source.choice((2, 3, 50)) + data[at:])
    return f"{len(piece)} bytes repeated at {at}"


def _swap(path: Path, source: random.Random) -> str:
    """The content of another kind of file."""
    content = source.choice(
        (b"", b"null", b"[]", b"{}", b"\x89PNG\r\n\x1a\n", b"version https://git-lfs.github.com/spec/v1\n", b"0")
    )
    path.write_bytes(content)
    return f"replaced by {content[:12]!r}"


def _encode(path: Path, source: random.Random) -> str:
    encoding = source.choice(_ENCODINGS)
    path.write_bytes(path.read_text(encoding="utf-8").encode(encoding, "replace"))
    return f"saved as {encoding}"


def _restructure_json(path: Path, source: random.Random) -> str:
    document, done = _restructure(json.loads(path.read_text(encoding="utf-8")), source)
    path.write_text(json.dumps(document, ensure_ascii=source.random() < 0.5), encoding="utf-8", errors="surrogatepass")
    return done


def _restructure_yaml(path: Path, source: random.Random) -> str:
    document, done = _restructure(yaml.safe_load(path.read_text(encoding="utf-8")), source)
    path.write_text(yaml.safe_dump(document, allow_unicode=source.random() < 0.5), encoding="utf-8")
    return done


def _restructure_header(path: Path, source: random.Random) -> str:
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    document, done = _restructure(json.loads(data[8 : 8 + length]), source)
    header = json.dumps(document).encode()
    said = source.choice((len(header), len(header), 0, 2**63, len(header) + 1))
    path.write_bytes(said.to_bytes(8, "little") + header + data[8 + length :])
    return f"header: {done}"


def _restructure(document: Any, source: random.Random) -> tuple[Any, str]:
    document = copy.deepcopy(document)
    places = [((), document)]
    for place, value in places:
        children = (
            value.items() if isinstance(value, dict) else enumerate(value[:40]) if isinstance(value, list) else ()
        )
        if len(places) < 3000:
            places += [((*place, key), child) for key, child in children]
    place, value = source.choice(places)
    new = copy.deepcopy(source.choice((*_VALUES, [value], {"x": value}, str(value)[:100])))
    if not place:
        return new, f"the whole document became {str(new)[:40]!r}"
    parent = document
    for key in place[:-1]:
        parent = parent[key]
    way = source.choice(("replace", "replace", "replace", "delete", "rename", "double"))
    if way == "delete":
        del parent[place[-1]]
    elif way == "rename" and isinstance(parent, dict):
        parent[str(place[-1]) + source.choice(("s", " ", "_", "\x1b", "\n"))] = parent.pop(place[-1])
    elif way == "double" and isinstance(parent, list):
        parent += [value] * source.choice((1, 50))
    else:
        way = "replace"
        parent[place[-1]] = new
    return document, f"{way} {'.'.join(map(str, place))[:80]}" + (f" by {str(new)[:40]!r}" if way == "replace" else "")
