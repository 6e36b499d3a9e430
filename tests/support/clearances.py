"""A clearance without a check, for tests of what happens to one."""

from __future__ import annotations

import datetime

from preflight_ocr.harness.config.schema import Config
from preflight_ocr.harness.verdict.binding import Binding
from preflight_ocr.harness.verdict.clearance import Clearance
from preflight_ocr.harness.verdict.gate import Waiver


def clear(
    config: Config, *, facts_digest: str = "f" * 64, waivers: tuple[Waiver, ...] = (), touched: tuple[str, ...] = ()
) -> Clearance:
    """Signed, for what is on the disk now; `touched` are further files that a child opened or imported."""
    bound = Binding(config, waivers).settle(touched)
    return Clearance.issue(bound, verdict="clear", level="ran", facts_digest=facts_digest)


def wait_for_another_time() -> None:
    """Until a file that is written now has another time of change than one written before."""
    begin = datetime.datetime.now(datetime.UTC)
    while (datetime.datetime.now(datetime.UTC) - begin).total_seconds() < 0.02:
        pass
