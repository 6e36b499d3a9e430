"""Which of the processes that one launcher started this one is, by the variables that torchrun and its like set.

Read by what must not import torch: the front, the lock, what children get to see.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["Place", "count_processes", "find_place", "without_launcher"]

COUNT = "PREFLIGHT_PROCESSES"
"""How many processes train, for one that is none of them: a child of the check."""

_OF_A_PROCESS = re.compile(
    r"(RANK|WORLD_SIZE|LOCAL_RANK|LOCAL_WORLD_SIZE|GROUP_RANK|GROUP_WORLD_SIZE|ROLE_RANK|ROLE_NAME|ROLE_WORLD_SIZE"
    r"|CROSS_RANK|CROSS_SIZE|MASTER_ADDR|MASTER_PORT|FORK_LAUNCHED|TORCHELASTIC_.*"
    r"|(PMI|OMPI_COMM_WORLD|MV2_COMM_WORLD)_(LOCAL_)?(RANK|SIZE))$"
)
_OF_A_SPREAD_RUN = re.compile(
    r"(ACCELERATE_(?!MIXED_PRECISION$|GRADIENT_ACCUMULATION_STEPS$).*|FSDP_.*|MEGATRON_LM_.*|PARALLELISM_CONFIG_.*)$"
)


class Place(NamedTuple):
    """One process among those that were started together. `local_rank` counts those of its machine."""

    rank: int
    size: int
    local_rank: int
    local_size: int

    @property
    def is_first(self) -> bool:
        """Whether it is the one that checks, writes and speaks for all."""
        return self.rank == 0

    @property
    def leads_its_machine(self) -> bool:
        return self.local_rank == 0

    @property
    def name(self) -> str:
        """How a message calls it: `rank 3 on node-b`; "" for a process that is alone."""
        return f"rank {self.rank} on {socket.gethostname()}" if self.size > 1 else ""


def find_place() -> Place:
    """Where this process stands; alone where no launcher says otherwise."""
    size = max(1, _read("WORLD_SIZE", 1))
    if size == 1:
        return Place(rank=0, size=1, local_rank=0, local_size=1)
    return Place(
        rank=_read("RANK", 0), size=size, local_rank=_read("LOCAL_RANK", 0), local_size=_read("LOCAL_WORLD_SIZE", 1)
    )


def without_launcher(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of one process by itself: who reads it waits for no other, and does not think it is one of many.

    How many there are stays known, since the steps of a run are shared by them. What shapes the run itself stays where the
    process is alone anyway: it may be the user's.
    """
    size = environment.get("WORLD_SIZE", "")
    is_one_of_many = size.isdecimal() and int(size) > 1
    alone = {
        name: value
        for name, value in environment.items()
        if not _OF_A_PROCESS.match(name) and not (is_one_of_many and _OF_A_SPREAD_RUN.match(name))
    }
    return alone | ({COUNT: size} if is_one_of_many else {})


def count_processes() -> int:
    """How many processes train together, also where this one only looks at what they will do."""
    return max(1, _read(COUNT, 1), find_place().size)


def _read(name: str, otherwise: int) -> int:
    given = os.environ.get(name, "")
    return int(given) if given.isdecimal() else otherwise
