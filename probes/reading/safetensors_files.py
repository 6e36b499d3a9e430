"""Safetensors files by their header, held to what the library itself asks of one: no weight is read."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import msgspec

from preflight_ocr.harness.facts import Unknown
from preflight_ocr.harness.foreign.files import open_file

_LARGEST_HEADER = 100_000_000  # bytes, as the library has it
_HALF_BYTES = {"F4": 1, "F6_E2M3": 1.5, "F6_E3M2": 1.5, "BOOL": 2, "U8": 2, "I8": 2, "F8_E5M2": 2, "F8_E4M3": 2,
               "F8_E8M0": 2, "F8_E5M2FNUZ": 2, "F8_E4M3FNUZ": 2, "I16": 4, "U16": 4, "F16": 4, "BF16": 4,
               "I32": 8, "U32": 8, "F32": 8, "C64": 16, "F64": 16, "I64": 16, "U64": 16}  # fmt: skip
"""Every type that safetensors knows, and twice the bytes of one number."""


class _Tensor(msgspec.Struct):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


class _Header(msgspec.Struct):
    """Only what every header may have beside its tensors."""

    metadata: dict[str, str] | None = msgspec.field(name="__metadata__", default=None)


def sum_shards(shards: Iterable[Path]) -> int | Unknown:
    """The bytes of all tensors in some files; Unknown with the first file that the library would refuse."""
    total = 0
    for path in shards:
        size = _measure(path)
        if isinstance(size, str):
            return Unknown(reason=f"{path}: {size}; fetch it again", cause="unreadable file")
        total += size
    return total


def _measure(path: Path) -> int | str:
    """The bytes of a file's tensors, or what is wrong with it. Raises OSError."""
    with open_file(path) as file:
        size = file.seek(0, 2)
        file.seek(0)
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(_LARGEST_HEADER, size - 8):
            return "not a safetensors file, or cut short: the header does not fit the file"
        header = file.read(length)
    try:
        header.decode("utf-8")  # the parser does not look into what it steps over
        msgspec.json.decode(header, type=_Header)
        raw = msgspec.json.decode(header, type=dict[str, msgspec.Raw])
        tensors = [msgspec.json.decode(entry, type=_Tensor) for name, entry in raw.items() if name != "__metadata__"]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return f"the safetensors header cannot be read: {error}"
    end = 0
    for tensor in sorted(tensors, key=lambda one: one.data_offsets):
        begin, after = tensor.data_offsets
        if begin != end or after < begin or min(tensor.shape, default=0) < 0:
            return f"the tensors in its header do not follow each other at byte {end:,}"
        wanted = _HALF_BYTES.get(tensor.dtype)
        if wanted is None:
            return f"a tensor of type {tensor.dtype!r:.80} in its header, which safetensors does not know"
        if math.prod(tensor.shape) * wanted != 2 * (after - begin):
            return f"a tensor of shape {tensor.shape} and type {tensor.dtype} has {after - begin:,} bytes in its header"
        end = after
    if 8 + length + end != size:
        said = "cut short" if 8 + length + end > size else "longer than its header says"
        return f"{said}: {size:,} bytes, expected {8 + length + end:,}"
    return end
