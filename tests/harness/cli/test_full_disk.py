"""A full disk is told as that, whatever a library made of it, and nothing else is."""

from __future__ import annotations

import errno
import shutil

import pytest

from preflight_ocr.harness.cli.full_disk import RefuseFullDisk, tell_full
from preflight_ocr.harness.cli.options import Refusal
from preflight_ocr.harness.cli.steps import refuse_unwritable

TORCH = "[enforce fail at inline_container.cc:858] . PytorchStreamWriter failed writing file data/0: file write failed"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "out/log"), "out/log: No space left on device"),
        (OSError(errno.EFBIG, "File too large"), "PLACE: File too large"),
        (Exception("I/O error: No space left on device (os error 28)"), "PLACE: No space left on device"),
        (OSError(errno.EACCES, "Permission denied"), None),
        (Exception("Permission denied (os error 13)"), None),
        (RuntimeError("CUDA out of memory"), None),
    ],
)
def test_what_a_library_says_of_a_full_disk_is_told_as_that(error, said, tmp_path):
    assert tell_full(error, tmp_path) == (said and said.replace("PLACE", str(tmp_path)))


def test_an_error_that_came_of_a_full_disk_is_one(tmp_path):
    try:
        try:
            raise OSError(errno.ENOSPC, "No space left on device", "a")
        except OSError:
            raise ValueError("could not be saved") from None
    except ValueError as error:
        assert tell_full(error, tmp_path) == "a: No space left on device"


@pytest.mark.parametrize("said", [TORCH, "[enforce fail at inline_container.cc:672] . unexpected pos 18816 vs 18704"])
def test_an_error_of_torch_that_names_no_reason_is_one(said, tmp_path):
    assert "could not be written to its end" in tell_full(RuntimeError(said), tmp_path)


def test_a_full_disk_is_refused_with_what_to_do_and_other_errors_go_on(tmp_path):
    with (
        pytest.raises(Refusal, match="No space left on device; make room"),
        RefuseFullDisk(tmp_path, lambda: "; make room"),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(ZeroDivisionError), RefuseFullDisk(tmp_path, lambda: pytest.fail("was asked")):
        _ = 1 / 0


def test_a_file_that_could_not_be_written_is_refused_before_the_work_and_nothing_is_left(tmp_path):
    (tmp_path / "file").write_text("kept", encoding="utf-8")
    refuse_unwritable([tmp_path / "new" / "page.html", tmp_path / "file"])
    assert (tmp_path / "file").read_text(encoding="utf-8") == "kept" and not list((tmp_path / "new").iterdir())
    shutil.rmtree(tmp_path / "new")
    with pytest.raises(Refusal, match="cannot be written"):
        refuse_unwritable([tmp_path / "file" / "page.html"])
