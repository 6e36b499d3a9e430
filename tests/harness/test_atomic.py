"""A file is either the old one or the whole new one."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from preflight_ocr.harness.atomic import write_bytes, write_text


def test_text_is_written_as_utf_8_into_a_folder_that_is_made_for_it(tmp_path: Path) -> None:
    file = tmp_path / "reports" / "report.html"
    write_text(file, "почерк\n")
    assert file.read_bytes() == "почерк\n".encode()
    assert list(file.parent.iterdir()) == [file]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "report.json"
    write_text(file, "old")

    def fail(descriptor: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_bytes(file, b"new")
    assert file.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.skipif(sys.platform == "win32", reason="links and modes are those of POSIX")
def test_a_link_stays_a_link_and_others_may_read(tmp_path: Path) -> None:
    link, file = tmp_path / "latest", tmp_path / "report"
    write_text(file, "old")
    link.symlink_to(file)
    write_text(link, "new")
    assert link.is_symlink()
    assert file.read_text(encoding="utf-8") == "new"
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(file.stat().st_mode) == 0o666 & ~umask


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such device")
def test_what_cannot_be_replaced_is_written_to() -> None:
    write_text(Path("/dev/null"), "gone")
    assert not Path("/dev/null").is_file()
