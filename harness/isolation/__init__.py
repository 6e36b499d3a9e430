"""Foreign code runs here: in a child process with limits on time, memory and output (DESIGN 5).

    with Sandbox(limits=Limits(seconds=60), path=[folder]) as sandbox:
        ending = sandbox.run("collator:build", {"rows": 4})

The ending is `Returned`, `ChildRaised` or `Died`; nothing the child does raises here. Where the system can close it
(`closing`), the child writes below its own folders alone, reaches no network and signals nobody; `Sandbox.closed` says
what was open.
What is and is not held stands in docs/explanation/isolation.md.

Held back on Linux: time, memory (addresses where no accelerator is in use, and resident memory of the whole family),
output, file size, number of processes, core dumps; whatever a child started ends with it. On macOS memory is watched if
psutil is installed, and on Windows a limit on file size is missing too. Only builtin values travel, as msgpack.

A preloaded module is imported only, so that the warm process may be forked: name the modules that do the real work
("transformers.modeling_utils"), as `import transformers` alone loads little.
"""

from __future__ import annotations

from preflight_ocr.harness.isolation.endings import (
    ChildRaised,
    Died,
    Ending,
    Frame,
    Limits,
    Returned,
    SandboxUnavailable,
)
from preflight_ocr.harness.isolation.sandbox import Job, Sandbox

__all__ = ["ChildRaised", "Died", "Ending", "Frame", "Job", "Limits", "Returned", "Sandbox", "SandboxUnavailable"]
