import os
import signal
import sys
import time

import pytest

from preflight_ocr.probes.workbench.aside import run_aside

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks here")


def test_what_is_changed_aside_does_not_change_here_and_what_is_written_stays(tmp_path):
    values = [1]

    def work():
        values.append(2)
        (tmp_path / "seen").write_text(str(values))

    assert run_aside(work, 10) == ""
    assert values == [1]
    assert (tmp_path / "seen").read_text() == "[1, 2]"


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (lambda: os._exit(3), "its process failed"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "its process was ended by signal 9"),
        (lambda: time.sleep(60), "it was stopped after 0.3 s"),
    ],
)
def test_work_that_ends_otherwise_is_told(work, said):
    assert run_aside(work, 0.3 if "stopped" in said else 10) == said
