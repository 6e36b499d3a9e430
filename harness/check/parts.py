"""One check of parts that are there already, in the caller's own process: without isolation, and said so."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import torch

from preflight_ocr.harness.check.command import IN_PROCESS, SECONDS, Watched, gather, judge
from preflight_ocr.harness.check.taking_over import PROBES, look
from preflight_ocr.harness.config.schema import Config
from preflight_ocr.harness.holding.held import Held

NO_ISOLATION = "There was no isolation: your code ran in this process, with its memory and its files."

NO_COPY = "a step would train your model: this process cannot be forked, so there is no copy to train"


@contextmanager
def _one_thread() -> Iterator[None]:
    """A process is forked safely while torch computes in one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def check_parts(
    *, model: Any, collator: Any, rows: Any, processor: Any, args: Any, batch_size: int | None, only: tuple[str, ...]
) -> Watched:
    """Look at the parts in forks of this process where it can be forked, else in place; judge what was seen."""
    held = Held(
        at=IN_PROCESS,
        model=model,
        collate=collator,
        rows=rows,
        processor=processor,
        arguments=args,
        batch_size=batch_size or int(getattr(args, "per_device_train_batch_size", 1)),
        undone=(NO_ISOLATION,),
    )
    # A process that has talked to a card cannot be forked any more.
    forks = sys.platform == "linux" and not torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="preflight-") as folder, _one_thread():
        # In place, nothing is trained and no adapter is taken off: the parts stay as they are.
        names = [*PROBES, "reload"] if forks else [name for name in PROBES if name != "learning"]
        taken = look(held, Path(folder), seconds=SECONDS, only=names, forks=forks, tell=lambda what: None)
        if not forks:
            failures = {**taken.failures, "learning": (NO_COPY, "not looked at")}
            taken = msgspec.structs.replace(taken, failures=failures)
        config = msgspec.convert(taken.config, Config, strict=False, dec_hook=lambda kind, value: kind(value))
        timings = {f"run {name}": spent for name, spent in taken.seconds.items()}
        facts, illustrations = gather(config, taken, progress=lambda message: None, timings=timings)
        report = judge(config, facts, illustrations, timings=timings, only=only, waivers=())
    timings["whole"] = round(time.monotonic() - begun, 3)
    return Watched(report=report.time(time.monotonic() - begun), taken=taken)
