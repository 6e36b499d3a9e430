"""The weight part from a model's files alone: headers of safetensors, else the index, which has a total and no shapes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from preflight_ocr.harness.facts import Share

INDICES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_DTYPES: Mapping[str, tuple[str, int]] = {
    "F64": ("float64", 8), "F32": ("float32", 4), "F16": ("float16", 2), "BF16": ("bfloat16", 2), "I64": ("int64", 8),
    "I32": ("int32", 4), "I16": ("int16", 2), "I8": ("int8", 1), "U8": ("uint8", 1), "BOOL": ("bool", 1),
    "F8_E4M3": ("float8_e4m3fn", 1), "F8_E5M2": ("float8_e5m2", 1),
}  # fmt: skip
_LONGEST_HEADER = 100 << 20
_PATTERNS: tuple[tuple[str, str], ...] = (
    ("projector", r"projector|merger|connector|aligner|resampler"),
    ("vision", r"vision|visual|sam_model|image_|view_|vit\b|encoder\."),
    ("head", r"lm_head|output_projection"),
    ("embedding", r"embed_tokens|wte|shared\.weight|word_embeddings"),
    ("experts", r"experts"),
    ("attention", r"attn|attention"),
    ("other", r"norm"),
    ("mlp", r"mlp|feed_forward|ffn|fc\d"),
)


class Files(msgspec.Struct, frozen=True, kw_only=True):
    """What the files say. `tensors` counts by part, as their names tell; `shares` is empty where no header gives sizes."""

    source: str
    total: int
    shares: tuple[Share, ...] = ()
    tensors: dict[str, int] = {}
    dtype: str | None = None


def read_weights(directory: Path) -> Files | str:
    """The weights of a directory, none of them read. A reason, in words, where its files do not tell."""
    shards = sorted(directory.glob("*.safetensors"))
    try:
        if shards:
            return _read_headers(shards)
        for name in INDICES:
            if (directory / name).is_file():
                return _read_index(directory, name)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"the weights' files in {directory} cannot be read: {type(error).__name__}: {error}"
    return f"{directory} holds neither weights nor an index of them ({' or '.join(INDICES)})"


def _read_index(directory: Path, name: str) -> Files | str:
    content = msgspec.json.decode((directory / name).read_bytes())
    total = content["metadata"]["total_size"]
    if isinstance(total, bool) or not isinstance(total, int) or total <= 0:
        return f"{directory / name}: metadata.total_size is {total!r}, expected a number of bytes"
    counts: dict[str, int] = {}
    for tensor in content.get("weight_map", {}):
        part = guess_part(tensor)
        counts[part] = counts.get(part, 0) + 1
    return Files(source=name, total=total, tensors=counts, dtype=read_dtype(directory))


def read_dtype(directory: Path) -> str | None:
    """The dtype that config.json names for the weights."""
    path = directory / "config.json"
    content: dict[str, Any] = msgspec.json.decode(path.read_bytes()) if path.is_file() else {}
    sections = [content, *(v for k, v in content.items() if k in ("text_config", "language_config") and v)]
    found = (section.get(key) for section in sections for key in ("dtype", "torch_dtype"))
    return next((str(name).removeprefix("torch.") for name in found if name), None)


def _read_headers(shards: list[Path]) -> Files | str:
    shares: dict[tuple[str, str], list[int]] = {}
    for path in shards:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(_LONGEST_HEADER, path.stat().st_size):
                return f"{path}: not a safetensors file, or cut short; fetch it again"
            header = msgspec.json.decode(file.read(length))
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            start, end = entry["data_offsets"]
            dtype, width = _DTYPES.get(entry["dtype"], (entry["dtype"], 1))
            row = shares.setdefault((guess_part(name), dtype), [0, 0])
            row[0] += (end - start) // width
            row[1] += end - start
    made = tuple(
        Share(part=part, dtype=dtype, parameters=count, bytes=size)
        for (part, dtype), (count, size) in sorted(shares.items())
    )
    return Files(source="the headers of the weight files", total=sum(s.bytes for s in made), shares=made)


def guess_part(name: str) -> str:
    """The part a tensor's name speaks of. Only for files without code: a model's own tree says it better."""
    return next((part for part, pattern in _PATTERNS if re.search(pattern, name)), "other")
