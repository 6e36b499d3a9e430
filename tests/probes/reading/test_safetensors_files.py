from __future__ import annotations

import json

import pytest

from preflight_ocr.harness.facts import Unknown
from preflight_ocr.probes.reading.safetensors_files import sum_shards


def _write(path, header, body=b"\0" * 8):
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(encoded).to_bytes(8, "little") + encoded + body)
    return path


def _tensor(**other):
    return {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **other}}


def test_the_bytes_of_every_shard_are_summed(tmp_path):
    shards = [_write(tmp_path / name, _tensor()) for name in ("a.safetensors", "b.safetensors")]
    assert sum_shards(shards) == 16


@pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E8M0", "U8", "I8", "BOOL"])
def test_types_of_one_byte_have_as_many_bytes_as_numbers(tmp_path, dtype):
    assert sum_shards([_write(tmp_path / "a.safetensors", _tensor(dtype=dtype, shape=[2, 4]))]) == 8


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (_tensor(dtype="/proc/self/environ"), "does not know"),
        (_tensor(dtype="F8_E4M3"), "8 bytes"),
        (_tensor(shape=[3]), "8 bytes"),
        (b'{"\xc2": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}', "cannot be read"),
    ],
)
def test_a_header_that_the_library_would_refuse_is_unknown_with_its_reason(tmp_path, header, said):
    seen = sum_shards([_write(tmp_path / "a.safetensors", header)])
    assert isinstance(seen, Unknown) and seen.cause == "unreadable file"
    assert said in seen.reason
