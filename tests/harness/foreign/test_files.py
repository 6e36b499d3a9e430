from __future__ import annotations

import json
import os
import tracemalloc

import pytest

from preflight_ocr.harness.foreign.files import expand, is_there, open_file, read_bytes
from preflight_ocr.harness.foreign.json_text import BrokenJson, iterate_list, read_json


def test_a_pipe_a_device_and_a_folder_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, said in ((tmp_path / "pipe", "pipe"), ("/dev/zero", "device"), (tmp_path, "folder")):
        with pytest.raises(OSError, match=said):
            open_file(path)


@pytest.mark.parametrize("name", ["n" * 300, "a\0b", "\ud800", "nothing"])
def test_a_name_that_no_file_can_have_is_an_error_of_the_system(tmp_path, name):
    assert not is_there(tmp_path / name)
    with pytest.raises(OSError):
        open_file(tmp_path / name)


def test_a_file_above_the_limit_is_not_read(tmp_path):
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(3 << 30)
    with pytest.raises(OSError, match=r"3,221,225,472 bytes, expected at most 100"):
        read_bytes(tmp_path / "sparse", limit=100)


def test_a_user_that_is_not_there_leaves_the_tilde():
    assert str(expand("~nosuchuser/x")) == "~nosuchuser/x"


def _write_large(path, entries):
    text = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries)
    path.write_text(f"[{text}]", encoding="utf-8")
    assert path.stat().st_size > 5 << 20


def test_a_large_list_comes_entry_by_entry_as_it_would_whole(tmp_path):
    entries = [{"text": "ж" * (n % 700), "n": n, "deep": [[n]]} for n in range(9000)] + ["x" * 3_000_000, 12345678901]
    _write_large(tmp_path / "rows.json", entries)
    assert list(iterate_list(tmp_path / "rows.json")) == entries == read_json(tmp_path / "rows.json")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: data[: len(data) // 2], "broken JSON|expected"),
        (lambda data: data[:5_000_000] + b"\xff" + data[5_000_000:], "UTF-8"),
        (lambda data: data.replace(b'"x"', b'"\\ud800"'), "surrogate"),
        (lambda data: data + b"x", "nothing after the list"),
        (lambda data: data.replace(b'"x"', b"[" * 100_000), "nested|broken JSON"),
    ],
)
def test_a_large_list_that_is_broken_names_its_line(tmp_path, damage, said):
    path = tmp_path / "rows.json"
    _write_large(path, ["y" * 1000] * 5500 + ["x"])
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(BrokenJson, match=said) as raised:
        list(iterate_list(path))
    assert int(str(raised.value).split(":")[1]) > 1000


def test_no_more_room_is_taken_than_the_file_has_whatever_is_allowed(tmp_path):
    (tmp_path / "small").write_bytes(b"0123456789" * 300_000)
    tracemalloc.start()
    try:
        assert len(read_bytes(tmp_path / "small", limit=10**12)) == 3_000_000
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
