"""Foreign work in a copy of this process: what it changes, hangs on or dies of is lost, and what is here stays."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable


def run_aside(work: Callable[[], None], seconds: float) -> str:
    """Run `work` in a fork of this process, for `seconds` at most; how it ended where that was not by itself, else "".

    Where nothing can be forked it runs in place, without a limit of its own.
    """
    if sys.platform != "linux":
        work()
        return ""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if not pid:
        code = 1
        try:
            work()
            code = 0
        except BaseException:  # noqa: BLE001 (a copy of the process must in no case go on as the original)
            with contextlib.suppress(BaseException):
                traceback.print_exc()
        finally:
            os._exit(code)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            return "" if code == 0 else f"its process was ended by signal {-code}" if code < 0 else "its process failed"
        time.sleep(0.01)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return f"it was stopped after {seconds:g} s"
