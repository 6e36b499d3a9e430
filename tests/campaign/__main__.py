"""The campaign from the command line: every part, or those that are named, and one table of what got through.

Exits with 1 where anything is wrong. `--scale 0.01` runs a hundredth of everything. `--record` keeps what came of each part
in `docs/measured/campaign.json`, from where `python -m docs.generate` takes the table of the documentation.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

from tests.campaign.gate import change_everything
from tests.campaign.hostile import attack_children
from tests.campaign.inputs import attack_reading, attack_running
from tests.campaign.records import keep
from tests.campaign.tally import Tally, render
from tests.campaign.training import kill_at_random, tear_checkpoints

PARTS: dict[str, tuple[int, Callable[[int], Tally]]] = {
    "reading": (10_000, attack_reading),
    "running": (300, attack_running),
    "children": (1000, attack_children),  # as many as the table has
    "gate": (1000, change_everything),  # as many as the table has
    "kills": (50, kill_at_random),
    "checkpoints": (1000, tear_checkpoints),  # as many as there are files and ways to tear them
}


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=__doc__)
    parser.add_argument("--part", action="append", choices=[*PARTS], help="only this part; can be given several times")
    parser.add_argument("--scale", type=float, default=1.0, help="this share of each part")
    parser.add_argument("--count", type=int, help="so many attacks of each part, in place of its own number")
    parser.add_argument("--record", action="store_true", help="keep the results for the documentation")
    given = parser.parse_args(words)
    tallies = []
    for name in given.part or PARTS:
        number, attack = PARTS[name]
        count = given.count if given.count is not None else max(1, round(number * given.scale))
        started = time.monotonic()
        tallies.append(attack(count))
        seconds = time.monotonic() - started
        print(f"{name}: {tallies[-1].tried} tried in {seconds:.0f} s", file=sys.stderr)
        if given.record:
            keep(name, tallies[-1], seconds)
    print(render(tallies))
    return 1 if any(tally.wrong for tally in tallies) else 0


if __name__ == "__main__":
    sys.exit(main())
